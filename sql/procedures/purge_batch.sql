SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Delete up to 500 finished requests of a status, the oldest first, with their tries and answers. Internal: part of
afil.purge and afil.apply_retention.

It takes its turn like all that moves rows: a requeue of the same rows would lock the table's row first and the index
after it, this the other way round.

EXEC afil.purge_batch @status = 'cancelled', @older_than_days = 36500;

Returns  the number of requests deleted
Errors   51010 another session holds the queue
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.purge_batch @status VARCHAR(20), @older_than_days INT
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED; /* for READPAST */
    DECLARE @found INT;
    DECLARE @row TABLE (
        id BIGINT NOT NULL PRIMARY KEY
    );
    BEGIN TRY
        BEGIN TRANSACTION;
        EXEC afil.lock_line;
        INSERT INTO @row (id)
        SELECT TOP (500) id
        FROM afil.outbox WITH (READPAST, UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
        WHERE status = @status
            AND completed_at IS NOT NULL
            AND completed_at <= DATEADD(DAY, -@older_than_days, SYSUTCDATETIME())
        ORDER BY completed_at;
        SET @found = @@ROWCOUNT;
        IF @found > 0
        BEGIN
            DELETE FROM afil.attempt
            WHERE id IN (SELECT id FROM @row);
            DELETE FROM afil.response
            WHERE id IN (SELECT id FROM @row);
            DELETE o
            FROM afil.outbox AS o WITH (FORCESEEK)
            INNER JOIN @row AS r ON r.id = o.id
            WHERE o.status = @status;
        END;
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;
    RETURN @found;
END;
GO
