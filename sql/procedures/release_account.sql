SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Take requests of a held account again, after its credentials have been mended; or of one whose breaker is open.

Inside a caller's transaction it is part of that, and an error ends it.

EXEC afil.release_account @account = N'default';

Returns  a row: released bit, 0 when the account was open; 0
Errors   51001 @account is missing or too long; 51010 another session holds the queue
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.release_account @account NVARCHAR(4000)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @released BIT = 0;
    IF @account IS NULL OR LEN(@account) NOT BETWEEN 1 AND 128
        THROW 51001, '@account must be the name of an account, 1 to 128 characters long: afil.held_accounts lists those held', 1;

    BEGIN TRY
        BEGIN TRANSACTION;
        EXEC afil.lock_line;
        UPDATE afil.account
        SET held_at = NULL, held_reason = NULL, tripped_at = NULL, probe_at = NULL, probe_id = NULL, rest_until = NULL
        WHERE name = @account AND COALESCE(held_at, tripped_at) IS NOT NULL;
        IF @@ROWCOUNT > 0
        BEGIN
            SET @released = 1;
            INSERT INTO afil.event_log (logged_at, event, detail)
            VALUES (SYSUTCDATETIME(), 'account_released', CONCAT(@account, N' (', SUSER_SNAME(), N')'));
        END;
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;
    SELECT @released AS released;
    RETURN 0;
END;
GO
