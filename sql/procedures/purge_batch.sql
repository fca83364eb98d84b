SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Delete up to 500 finished requests of a status, the oldest first, with their tries and answers. Internal: part of
afil.purge and afil.apply_retention.

EXEC afil.purge_batch @status = 'cancelled', @older_than_days = 36500;

Returns  the number of requests deleted
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.purge_batch @status VARCHAR(20), @older_than_days INT
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @found INT;
    DECLARE @row TABLE (
        id BIGINT NOT NULL PRIMARY KEY
    );
    BEGIN TRY
        BEGIN TRANSACTION;
        INSERT INTO @row (id)
        SELECT TOP (500) id
        FROM afil.outbox WITH (UPDLOCK, ROWLOCK)
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
            DELETE FROM afil.outbox
            WHERE id IN (SELECT id FROM @row) AND status = @status;
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
