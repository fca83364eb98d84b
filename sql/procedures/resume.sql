SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Take requests again after afil.pause: of one account (as afil.release_account does), or all.

Inside a caller's transaction it is part of that, and an error ends it.

EXEC afil.resume;

Returns  a row: resumed bit, 0 when nothing was paused; with @account, what afil.release_account returns; 0
Errors   51001 @account is empty or too long; 51010 another session holds the queue
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.resume
    @account NVARCHAR(4000) = NULL /* NULL ends the pause of everything */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @resumed BIT = 0;
    IF @account IS NOT NULL
    BEGIN
        EXEC afil.release_account @account = @account;
        RETURN 0;
    END;

    UPDATE afil.setting
    SET value = N'0'
    WHERE name = 'paused' AND value = N'1';
    IF @@ROWCOUNT > 0
    BEGIN
        SET @resumed = 1;
        INSERT INTO afil.event_log (logged_at, event, detail)
        VALUES (SYSUTCDATETIME(), 'resumed', SUSER_SNAME());
    END;
    SELECT @resumed AS resumed;
    RETURN 0;
END;
GO
