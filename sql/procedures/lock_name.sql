SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Wait for the turn of a name of ours, and keep it until the caller's transaction ends. For what afil.lock_line would hold
up exchanges for: other sessions with the same name wait, nobody else.

BEGIN TRANSACTION;
EXEC afil.lock_name @name = N'subscribe';
ROLLBACK TRANSACTION;

Returns  0
Errors   51010 another session has held the name for ten seconds
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.lock_name @name NVARCHAR(400)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @got INT, @resource NVARCHAR(255) = LEFT(N'afil.' + @name, 255), @fault NVARCHAR(2000);
    EXEC @got = sp_getapplock
        @Resource = @resource,
        @LockMode = 'Exclusive',
        @LockOwner = 'Transaction',
        @LockTimeout = 10000;
    IF @got < 0
    BEGIN
        SET @fault = CONCAT(
                N'another session has held ''',
                @resource,
                N''' for ten seconds: close its open transaction, look for a slow trigger on afil.chat_message, or try again'
            );
        THROW 51010, @fault, 1;
    END;
    RETURN 0;
END;
GO
