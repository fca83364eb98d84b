SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Workers, and when each was last heard of; times are UTC.

SELECT name, seen_seconds_ago FROM afil.workers ORDER BY seen_at DESC;

Returns  a row a worker: name, seen_at, seen_seconds_ago int, is_alive bit (heard of within a minute)
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.workers
AS
SELECT
    name,
    seen_at,
    DATEDIFF(SECOND, seen_at, SYSUTCDATETIME()) AS seen_seconds_ago,
    CAST(CASE WHEN seen_at > DATEADD(SECOND, -60, SYSUTCDATETIME()) THEN 1 ELSE 0 END AS BIT) AS is_alive
FROM afil.worker;
GO
