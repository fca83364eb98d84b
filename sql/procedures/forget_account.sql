SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Refuse requests of an account from now on, since it is in no worker's settings any more. Its requests that wait stay;
afil.cancel cancels them. A worker that has it makes it known again when it starts. With the last account forgotten, every
name is accepted, as in a new database.

Inside a caller's transaction it is part of that, and an error ends it.

EXEC afil.forget_account @account = N'example';

Returns  0
Errors   51001 @account is missing or too long; 51002 there is no such account; 51010 another session holds the queue
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.forget_account @account NVARCHAR(4000)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @fault NVARCHAR(2000);
    IF @account IS NULL OR LEN(@account) NOT BETWEEN 1 AND 128
        THROW 51001, '@account must be the name of an account, 1 to 128 characters long: afil.known_accounts lists them', 1;

    BEGIN TRY
        BEGIN TRANSACTION;
        EXEC afil.lock_line;
        UPDATE afil.account
        SET announced_at = NULL, platforms = NULL
        WHERE name = @account AND announced_at IS NOT NULL;
        IF @@ROWCOUNT = 0
        BEGIN
            SET @fault = CONCAT(
                    N'no worker has made an account ''',
                    @account,
                    N''' known: afil.known_accounts lists those'
                );
            THROW 51002, @fault, 1;
        END;
        INSERT INTO afil.event_log (logged_at, event, detail)
        VALUES (SYSUTCDATETIME(), 'account_forgotten', CONCAT(@account, N' (', SUSER_SNAME(), N')'));
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;
    RETURN 0;
END;
GO
