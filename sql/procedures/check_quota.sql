SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Refuse requests beyond the sender's quota, see afil.quota_left. Internal: the request procedures call it.

EXEC afil.check_quota @adding = 1;

Returns  0
Errors   51005 the quota is used up
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.check_quota @adding INT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @left INT, @fault NVARCHAR(2000);
    EXEC afil.quota_left @adding = @adding, @left = @left OUTPUT;
    IF @adding <= @left
        RETURN 0;
    SELECT
        @fault = CONCAT(
            N'the login ''',
            SUSER_SNAME(),
            N''' asks for ',
            @adding,
            N' requests and may queue ',
            @left,
            N' more within this minute; the setting quota_per_minute allows ',
            value,
            N': wait, or have an operator raise it with afil.configure'
        )
    FROM afil.setting
    WHERE name = 'quota_per_minute';
    THROW 51005, @fault, 1;
END;
GO
