SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
How many more requests the setting quota_per_minute lets this sender (login) queue now, so that a runaway loop cannot
queue three million messages. Internal: the request procedures and the triggers of notifications call it.

Counting costs as much as the quota is large, so a large quota is counted now and then only, by chance, about a hundred
times until it is used up: it holds within a few percent. A small one, up to 200, is counted every time and is exact.

DECLARE @left INT;
EXEC afil.quota_left @adding = 1, @left = @left OUTPUT;

Returns  @left OUTPUT; 0
Errors   none
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.quota_left @adding INT, @left INT OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @quota INT;
    SELECT @quota = CAST(value AS INT) FROM afil.setting WHERE name = 'quota_per_minute';
    SET @left = 2147483647;
    IF @quota = 0 OR (@quota > 200 AND @adding < @quota / 100 AND RAND() > 100.0 * @adding / NULLIF(@quota, 0))
        RETURN 0;

    /* NOLOCK: other sessions' open transactions count, and are not waited for. */
    SELECT @left = @quota - COUNT(*)
    FROM (
        SELECT TOP (@quota) id
        FROM afil.outbox WITH (NOLOCK)
        WHERE created_by = SUSER_SNAME() AND created_at > DATEADD(MINUTE, -1, SYSUTCDATETIME())
    ) AS r;
    RETURN 0;
END;
GO
