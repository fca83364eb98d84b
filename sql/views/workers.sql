SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Workers and when each was last heard of; times are UTC.

SELECT * FROM afil.workers;

Returns  a row each
Errors   none
Grants   afil_reader
*/
CREATE OR ALTER VIEW afil.workers
AS
SELECT name, seen_at FROM afil.worker;
GO
