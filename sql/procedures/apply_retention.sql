SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Purge what the settings retention_days_sent, retention_days_failed and retention_days_log no longer keep, at most 500
of each a call, and forget workers not heard of for a week. A worker calls it every minute.

EXEC afil.apply_retention;

Returns  a row: purged int, more bit (1 when another call would find more); 0
Errors   51010 another session holds the queue
Grants   afil_worker
*/
CREATE OR ALTER PROCEDURE afil.apply_retention
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @sent INT, @failed INT, @log INT, @found INT, @purged INT = 0, @more BIT = 0;
    SELECT
        @sent = MAX(CASE WHEN name = 'retention_days_sent' THEN CAST(value AS INT) END),
        @failed = MAX(CASE WHEN name = 'retention_days_failed' THEN CAST(value AS INT) END),
        @log = MAX(CASE WHEN name = 'retention_days_log' THEN CAST(value AS INT) END)
    FROM afil.setting
    WHERE name LIKE 'retention%';

    IF @sent > 0
    BEGIN
        EXEC @found = afil.purge_batch @status = 'sent', @older_than_days = @sent;
        SET @purged = @purged + @found;
        IF @found = 500
            SET @more = 1;
    END;
    IF @failed > 0
    BEGIN
        EXEC @found = afil.purge_batch @status = 'failed', @older_than_days = @failed;
        SET @purged = @purged + @found;
        IF @found = 500
            SET @more = 1;
        EXEC @found = afil.purge_batch @status = 'cancelled', @older_than_days = @failed;
        SET @purged = @purged + @found;
        IF @found = 500
            SET @more = 1;
    END;
    IF @log > 0
        DELETE FROM afil.event_log
        WHERE id IN (
                SELECT TOP (500) id
                FROM afil.event_log
                WHERE logged_at < DATEADD(DAY, -@log, SYSUTCDATETIME())
                ORDER BY id
            );
    DELETE FROM afil.worker
    WHERE seen_at < DATEADD(DAY, -7, SYSUTCDATETIME());
    SELECT @purged AS purged, @more AS more;
    RETURN 0;
END;
GO
