SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The rows of an answer as a worker hands them in, each text cut to its column's width. Part of afil.receive.

SELECT n, message, dated_at FROM afil.received_rows(N'[{"message": "Hello", "sent": 0, "dated_at": "2026-05-01T10:20:30"}]');

Returns  a row an element: n int from 0, platform, platformid, destination ('' where there is none), name, message,
         messageid, sent bit, status, datetime, dated_at datetime2(3)
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.received_rows (@rows NVARCHAR(MAX))
RETURNS TABLE AS RETURN (
    SELECT
        CAST(j.[key] AS INT) AS n,
        CAST(LEFT(COALESCE(afil.json_unescape(v.platform), N''), 20) AS NVARCHAR(20)) AS platform,
        CAST(LEFT(COALESCE(afil.json_unescape(v.platformid), N''), 100) AS NVARCHAR(100)) AS platformid,
        CAST(LEFT(COALESCE(afil.json_unescape(v.destination), N''), 200) AS NVARCHAR(200)) AS destination,
        CAST(LEFT(afil.json_unescape(v.name), 400) AS NVARCHAR(400)) AS name,
        /* Read apart, for Babelfish cuts what WITH reads at 4,000 characters. */
        afil.json_unescape((SELECT MAX(k.value) FROM OPENJSON(j.value) AS k WHERE k.[key] = N'message')) AS message,
        CAST(LEFT(afil.json_unescape(v.messageid), 100) AS NVARCHAR(100)) AS messageid,
        v.sent,
        CAST(LEFT(afil.json_unescape(v.status), 50) AS NVARCHAR(50)) AS status,
        CAST(LEFT(afil.json_unescape(v.datetime), 50) AS NVARCHAR(50)) AS datetime,
        v.dated_at
    FROM OPENJSON(@rows) AS j
    CROSS APPLY OPENJSON(j.value) WITH (
        platform NVARCHAR(MAX),
        platformid NVARCHAR(MAX),
        destination NVARCHAR(MAX),
        name NVARCHAR(MAX),
        messageid NVARCHAR(MAX),
        sent BIT,
        status NVARCHAR(MAX),
        datetime NVARCHAR(MAX),
        dated_at DATETIME2(3)
    ) AS v
);
GO
