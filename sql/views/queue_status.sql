SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
How many requests are in each state, and the oldest of each; times are UTC.

SELECT * FROM afil.queue_status;

Returns  a row a state that has requests
Errors   none
Grants   afil_reader
*/
CREATE OR ALTER VIEW afil.queue_status
AS
SELECT status, COUNT(*) AS items, MIN(due_at) AS oldest_due_at FROM afil.outbox GROUP BY status;
GO
