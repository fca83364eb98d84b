SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Every try of every request: when, how long, and what came of it; times are UTC.

SELECT * FROM afil.attempts;

Returns  a row each
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.attempts
AS
SELECT id, attempt, started_at, duration_ms, http_status, error_code, detail, worker FROM afil.attempt;
GO
