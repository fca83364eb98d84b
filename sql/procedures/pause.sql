SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Stop taking requests: of one account, or all. They stay queued and new ones are accepted; calls in flight end as they
would. A worker pauses an account by itself when the API refuses its credentials.

Inside a caller's transaction it is part of that, and an error ends it.

EXEC afil.pause @account = N'example', @reason = N'new password on Monday';

Returns  0
Errors   51001 a parameter is missing or too long; 51010 another session holds the queue
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.pause
    @account NVARCHAR(4000) = NULL, /* NULL pauses everything */
    @reason NVARCHAR(4000) = N'paused by an operator'
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    IF LEN(@account) = 0 OR LEN(@account) > 128
        THROW 51001, '@account must be the name of an account, 1 to 128 characters long, or NULL for all', 1;
    IF @reason IS NULL OR LEN(@reason) NOT BETWEEN 1 AND 400
        THROW 51001, '@reason must say why, in 1 to 400 characters', 1;

    BEGIN TRY
        BEGIN TRANSACTION;
        EXEC afil.lock_line;
        IF @account IS NULL
            UPDATE afil.setting
            SET value = N'1'
            WHERE name = 'paused';
        ELSE
        BEGIN
            UPDATE afil.account
            SET held_at = SYSUTCDATETIME(), held_reason = @reason, tripped_at = NULL, probe_at = NULL, probe_id = NULL
            WHERE name = @account;
            IF @@ROWCOUNT = 0
                INSERT INTO afil.account (name, held_at, held_reason)
                VALUES (@account, SYSUTCDATETIME(), @reason);
        END;
        INSERT INTO afil.event_log (logged_at, event, detail)
        VALUES (
            SYSUTCDATETIME(),
            CASE WHEN @account IS NULL THEN 'paused' ELSE 'account_held' END,
            CONCAT(@account + N': ', @reason, N' (', SUSER_SNAME(), N')')
        );
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
