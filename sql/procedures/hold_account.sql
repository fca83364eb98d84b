SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Stop taking requests of one account; they stay queued. A worker does so by itself when the credentials are refused.

EXEC afil.hold_account @account = N'default', @reason = N'new password on Monday';

Returns  0
Errors   51001 a parameter is missing
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.hold_account @account NVARCHAR(128), @reason NVARCHAR(400)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    IF @account IS NULL OR @account = N'' OR @reason IS NULL
        THROW 51001, '@account and @reason are needed', 1;
    UPDATE afil.account
    SET held_at = SYSUTCDATETIME(), held_reason = @reason
    WHERE name = @account;
    IF @@ROWCOUNT = 0
        INSERT INTO afil.account (name, held_at, held_reason)
        VALUES (@account, SYSUTCDATETIME(), @reason);
    INSERT INTO afil.event_log (logged_at, event, detail)
    VALUES (SYSUTCDATETIME(), 'account_held', CONCAT(@account, N': ', @reason));
    RETURN 0;
END;
GO
