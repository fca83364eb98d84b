SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
How much waits for each account, and since when the oldest is due: what workers show as metrics. Each branch reads its
own filtered index, so finished requests weigh nothing but those left uncertain.

SELECT account, state, items, oldest_seconds FROM afil.queue_depth;

Returns  a row an account and state: queued, scheduled, sending, reading_back, uncertain (left to a person); items
         bigint; oldest_seconds bigint of those queued and sending, NULL of others
Errors   none
Grants   afil_worker, afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.queue_depth
AS
SELECT
    account,
    'queued' AS state,
    COUNT_BIG(*) AS items,
    DATEDIFF_BIG(SECOND, MIN(due_at), SYSUTCDATETIME()) AS oldest_seconds
FROM afil.outbox
WHERE status = 'queued'
GROUP BY account
UNION ALL
SELECT account, 'sending', COUNT_BIG(*), DATEDIFF_BIG(SECOND, MIN(due_at), SYSUTCDATETIME())
FROM afil.outbox
WHERE status = 'sending'
GROUP BY account
UNION ALL
SELECT account, 'scheduled', COUNT_BIG(*), NULL FROM afil.outbox WHERE status = 'scheduled' GROUP BY account
UNION ALL
SELECT account, 'reading_back', COUNT_BIG(*), NULL
FROM afil.outbox
WHERE status = 'uncertain' AND check_at IS NOT NULL
GROUP BY account
UNION ALL
SELECT account, 'uncertain', COUNT_BIG(*), NULL
FROM afil.outbox
WHERE status = 'uncertain' AND completed_at IS NOT NULL
GROUP BY account;
GO
