SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The queue at a glance, by account and method: what waits, since when, and how many a minute were sent and failed. Reads
the indexes of waiting rows and of the last hour's finished ones, so millions of old rows do not slow it down.

SELECT account, method, waiting, oldest_seconds, sent_per_minute_5 FROM afil.queue_status;

Returns  a row an account and method that has something waiting or finished something within the hour: waiting, scheduled, sending,
         oldest_seconds, then sent_per_minute and failed_per_minute over the last 1, 5 and 60 minutes
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.queue_status
AS
SELECT
    f.account,
    f.method,
    SUM(f.waiting) AS waiting,
    SUM(f.scheduled) AS scheduled,
    SUM(f.sending) AS sending,
    DATEDIFF_BIG(SECOND, MIN(f.waiting_since), SYSUTCDATETIME()) AS oldest_seconds,
    CAST(SUM(f.sent_1) AS DECIMAL(12, 1)) AS sent_per_minute_1,
    CAST(SUM(f.sent_5) / 5.0 AS DECIMAL(12, 1)) AS sent_per_minute_5,
    CAST(SUM(f.sent_60) / 60.0 AS DECIMAL(12, 1)) AS sent_per_minute_60,
    CAST(SUM(f.failed_1) AS DECIMAL(12, 1)) AS failed_per_minute_1,
    CAST(SUM(f.failed_5) / 5.0 AS DECIMAL(12, 1)) AS failed_per_minute_5,
    CAST(SUM(f.failed_60) / 60.0 AS DECIMAL(12, 1)) AS failed_per_minute_60
FROM (
    SELECT
        account,
        method,
        COUNT(*) AS waiting,
        0 AS scheduled,
        0 AS sending,
        MIN(due_at) AS waiting_since,
        0 AS sent_1,
        0 AS sent_5,
        0 AS sent_60,
        0 AS failed_1,
        0 AS failed_5,
        0 AS failed_60
    FROM afil.outbox
    WHERE status = 'queued'
    GROUP BY account, method
    UNION ALL
    SELECT account, method, 0, COUNT(*), 0, NULL, 0, 0, 0, 0, 0, 0
    FROM afil.outbox
    WHERE status = 'scheduled'
    GROUP BY account, method
    UNION ALL
    SELECT account, method, 0, 0, COUNT(*), MIN(due_at), 0, 0, 0, 0, 0, 0
    FROM afil.outbox
    WHERE status = 'sending'
    GROUP BY account, method
    UNION ALL
    SELECT
        account,
        method,
        0,
        0,
        0,
        NULL,
        SUM(CASE WHEN completed_at > DATEADD(MINUTE, -1, SYSUTCDATETIME()) THEN 1 ELSE 0 END),
        SUM(CASE WHEN completed_at > DATEADD(MINUTE, -5, SYSUTCDATETIME()) THEN 1 ELSE 0 END),
        COUNT(*),
        0,
        0,
        0
    FROM afil.outbox
    WHERE status = 'sent' AND completed_at IS NOT NULL AND completed_at > DATEADD(MINUTE, -60, SYSUTCDATETIME())
    GROUP BY account, method
    UNION ALL
    SELECT
        account,
        method,
        0,
        0,
        0,
        NULL,
        0,
        0,
        0,
        SUM(CASE WHEN completed_at > DATEADD(MINUTE, -1, SYSUTCDATETIME()) THEN 1 ELSE 0 END),
        SUM(CASE WHEN completed_at > DATEADD(MINUTE, -5, SYSUTCDATETIME()) THEN 1 ELSE 0 END),
        COUNT(*)
    FROM afil.outbox
    WHERE status = 'failed' AND completed_at IS NOT NULL AND completed_at > DATEADD(MINUTE, -60, SYSUTCDATETIME())
    GROUP BY account, method
) AS f
GROUP BY f.account, f.method;
GO
