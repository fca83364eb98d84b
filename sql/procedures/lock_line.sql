SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Wait for the turn to move rows in line, and keep it until the caller's transaction ends. Everything that changes which
row of a conversation comes next does this first, so that two hands are never on one line.

BEGIN TRANSACTION;
EXEC afil.lock_line;
ROLLBACK TRANSACTION;

Returns  0
Errors   51010 another session has held the lock for ten seconds
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.lock_line
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @got INT;
    EXEC @got = sp_getapplock
        @Resource = N'afil.exchange',
        @LockMode = 'Exclusive',
        @LockOwner = 'Transaction',
        @LockTimeout = 10000;
    IF @got < 0
        THROW 51010, 'another session has held the queue for ten seconds: close its open transaction, or try again', 1;
    RETURN 0;
END;
GO
