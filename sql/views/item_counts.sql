SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
How many requests are in each state, and since when the oldest of those on their way is due; times are UTC. Each branch
reads its own index, the last one all finished requests of a narrow one.

SELECT status, items FROM afil.item_counts;

Returns  a row a state that has requests: status, items bigint, oldest_due_at, NULL for a finished state
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.item_counts
AS
SELECT c.status, SUM(c.items) AS items, MIN(c.due_at) AS oldest_due_at
FROM (
    SELECT status, COUNT_BIG(*) AS items, MIN(due_at) AS due_at FROM afil.outbox WHERE status = 'queued' GROUP BY status
    UNION ALL
    SELECT status, COUNT_BIG(*), MIN(due_at) FROM afil.outbox WHERE status = 'scheduled' GROUP BY status
    UNION ALL
    SELECT status, COUNT_BIG(*), MIN(due_at) FROM afil.outbox WHERE status = 'sending' GROUP BY status
    UNION ALL
    SELECT status, COUNT_BIG(*), NULL
    FROM afil.outbox
    WHERE status = 'uncertain' AND check_at IS NOT NULL
    GROUP BY status
    UNION ALL
    SELECT status, COUNT_BIG(*), NULL FROM afil.outbox WHERE completed_at IS NOT NULL GROUP BY status
) AS c
GROUP BY c.status;
GO
