SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Settle an uncertain request, of which nobody could say whether it took effect: the message arrived, or it is to be sent
again. afil.uncertain_items lists them.

Inside a caller's transaction it is part of that, and an error ends it.

EXEC afil.resolve @id = 12, @outcome = 'arrived';

Returns  a row: id bigint, status varchar; 0
Errors   51001 @outcome is not arrived or send again; 51002 there is no such request, or it is not uncertain; 51010 another session holds the queue
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.resolve
    @id BIGINT,
    @outcome VARCHAR(20) /* arrived, send again */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @status VARCHAR(10), @conversation NVARCHAR(460), @fault NVARCHAR(2000), @tries INT;
    IF @outcome IS NULL OR @outcome NOT IN ('arrived', 'send again')
        THROW 51001, '@outcome is not one of arrived, send again', 1;
    SELECT @tries = CAST(value AS INT) FROM afil.setting WHERE name = 'max_attempts';

    BEGIN TRY
        BEGIN TRANSACTION;
        EXEC afil.lock_line;
        SELECT @status = status, @conversation = conversation FROM afil.outbox WHERE id = @id;
        IF @status IS NULL OR @status <> 'uncertain'
        BEGIN
            SET @fault = CONCAT(
                    N'request ',
                    @id,
                    COALESCE(N' is ' + @status, N' does not exist'),
                    N', not uncertain: afil.uncertain_items lists those that are'
                );
            THROW 51002, @fault, 1;
        END;
        UPDATE afil.outbox
        SET
            status = CASE WHEN @outcome = 'arrived' THEN 'sent' ELSE 'queued' END,
            turn = CASE WHEN @outcome = 'arrived' THEN NULL ELSE 0 END,
            due_at = CASE WHEN @outcome = 'arrived' THEN due_at ELSE SYSUTCDATETIME() END,
            max_attempts = CASE WHEN @outcome = 'arrived' THEN max_attempts ELSE attempts + @tries END,
            completed_at = CASE WHEN @outcome = 'arrived' THEN COALESCE(completed_at, SYSUTCDATETIME()) END,
            error_code = NULL,
            check_at = NULL,
            lease_id = NULL,
            unknown_since = CASE WHEN @outcome = 'send again' THEN unknown_since END
        WHERE id = @id;
        /* While it was being read back, its conversation waited. */
        IF @outcome = 'arrived'
            UPDATE afil.outbox
            SET turn = 0
            WHERE id = (
                    SELECT MIN(n.id)
                    FROM afil.outbox AS n WITH (READPAST, READCOMMITTEDLOCK)
                    WHERE n.conversation = @conversation AND n.turn = 2
                )
                AND NOT EXISTS (SELECT 1 FROM afil.outbox AS f WHERE f.conversation = @conversation AND f.turn = 1);
        INSERT INTO afil.event_log (logged_at, event, detail)
        VALUES (SYSUTCDATETIME(), 'resolved', CONCAT(@id, N': ', @outcome, N' (', SUSER_SNAME(), N')'));
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;
    SELECT id, status FROM afil.outbox WHERE id = @id;
    RETURN 0;
END;
GO
