SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Wait until a request is finished, @wait_ms at most, and return what afil.answer returns. Internal: the request
procedures call it. requires: sqlserver (WAITFOR).

EXEC afil.wait_answer @id = 12, @wait_ms = 5000;

Returns  as afil.answer
Errors   51002 you have no such request
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.wait_answer @id BIGINT, @wait_ms INT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @until DATETIME2(3) = DATEADD(MILLISECOND, @wait_ms, SYSUTCDATETIME()), @code INT;
    DECLARE @pause CHAR(12) = '00:00:00.050', @tries INT = 0;
    WHILE SYSUTCDATETIME() < @until AND EXISTS (SELECT 1 FROM afil.outbox WHERE id = @id AND completed_at IS NULL)
    BEGIN
        /* A quick answer is seen at once; one that takes long is asked for twice a second. */
        SET @tries = @tries + 1;
        IF @tries = 20
            SET @pause = '00:00:00.500';
        WAITFOR DELAY @pause;
    END;
    EXEC @code = afil.answer @id = @id;
    RETURN @code;
END;
GO
