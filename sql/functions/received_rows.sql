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
        CAST(LEFT(COALESCE(platform.text, N''), 20) AS NVARCHAR(20)) AS platform,
        CAST(LEFT(COALESCE(platformid.text, N''), 100) AS NVARCHAR(100)) AS platformid,
        CAST(LEFT(COALESCE(destination.text, N''), 200) AS NVARCHAR(200)) AS destination,
        CAST(LEFT(name.text, 400) AS NVARCHAR(400)) AS name,
        message.text AS message,
        CAST(LEFT(messageid.text, 100) AS NVARCHAR(100)) AS messageid,
        v.sent,
        CAST(LEFT(status.text, 50) AS NVARCHAR(50)) AS status,
        CAST(LEFT(datetime.text, 50) AS NVARCHAR(50)) AS datetime,
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
    CROSS APPLY afil.json_text(v.platform) AS platform
    CROSS APPLY afil.json_text(v.platformid) AS platformid
    CROSS APPLY afil.json_text(v.destination) AS destination
    CROSS APPLY afil.json_text(v.name) AS name
    CROSS APPLY afil.json_text(v.messageid) AS messageid
    CROSS APPLY afil.json_text(v.status) AS status
    CROSS APPLY afil.json_text(v.datetime) AS datetime
    /* Read apart, for Babelfish cuts what WITH reads at 4,000 characters. */
    CROSS APPLY afil.json_text((SELECT MAX(k.value) FROM OPENJSON(j.value) AS k WHERE k.[key] = N'message')) AS message
);
GO
