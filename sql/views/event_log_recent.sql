SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
What happened to the queue as a whole, newest last; times are UTC.

SELECT * FROM afil.event_log_recent;

Returns  a row each
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.event_log_recent
AS
SELECT id, logged_at, event, detail FROM afil.event_log;
GO
