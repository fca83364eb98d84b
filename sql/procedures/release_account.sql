SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Take requests of a held account again, after its credentials have been mended.

EXEC afil.release_account @account = N'default';

Returns  a row: released bit, 0 when the account was not held; 0
Errors   none
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.release_account @account NVARCHAR(128)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @released INT;
    UPDATE afil.account
    SET held_at = NULL, held_reason = NULL
    WHERE name = @account AND held_at IS NOT NULL;
    SET @released = @@ROWCOUNT;
    IF @released > 0
        INSERT INTO afil.event_log (logged_at, event, detail)
        VALUES (SYSUTCDATETIME(), 'account_released', @account);
    SELECT @released AS released;
    RETURN 0;
END;
GO
