SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
How many requests are in each state, and since when the oldest of each is due; times are UTC.

SELECT status, items FROM afil.item_counts;

Returns  a row a state that has requests: status, items bigint, oldest_due_at
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.item_counts
AS
SELECT status, COUNT_BIG(*) AS items, MIN(due_at) AS oldest_due_at FROM afil.outbox GROUP BY status;
GO
