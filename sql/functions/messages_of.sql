SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The messages in the answer to one request, as rows. issent counts as sent; dated_at is datetime where that is an ISO
8601 time, else NULL. The API does not say its time zone.

SELECT n, message, sent, dated_at FROM afil.messages_of(1) ORDER BY n;

Returns  a row a message: n int from 1, platform, platformid, destination, message, messageid, sent bit, status, datetime, dated_at datetime2(3)
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER FUNCTION afil.messages_of (@id BIGINT)
RETURNS TABLE AS RETURN (
    SELECT
        CAST(j.[key] AS INT) + 1 AS n,
        CAST(LEFT(platform.text, 20) AS NVARCHAR(20)) AS platform,
        CAST(LEFT(platformid.text, 100) AS NVARCHAR(100)) AS platformid,
        CAST(LEFT(destination.text, 200) AS NVARCHAR(200)) AS destination,
        message.text AS message,
        CAST(LEFT(messageid.text, 100) AS NVARCHAR(100)) AS messageid,
        CAST(
            CASE
                WHEN COALESCE(v.sent, v.issent) IN (N'true', N'1', N'yes') THEN 1
                WHEN COALESCE(v.sent, v.issent) IN (N'false', N'0', N'no') THEN 0
            END AS BIT
        ) AS sent,
        CAST(LEFT(status.text, 50) AS NVARCHAR(50)) AS status,
        CAST(LEFT(datetime.text, 50) AS NVARCHAR(50)) AS datetime,
        CASE
            WHEN datetime.text LIKE N'[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]%' THEN COALESCE(
                TRY_CONVERT(DATETIME2(3), LEFT(datetime.text, 50), 121),
                TRY_CONVERT(DATETIME2(3), LEFT(datetime.text, 50), 127)
            )
        END AS dated_at
    FROM afil.answer_list(@id) AS j
    CROSS APPLY OPENJSON(CASE WHEN j.type = 5 THEN j.value ELSE N'{}' END) WITH (
        platform NVARCHAR(MAX),
        platformid NVARCHAR(MAX),
        destination NVARCHAR(MAX),
        messageid NVARCHAR(MAX),
        sent NVARCHAR(MAX),
        issent NVARCHAR(MAX),
        status NVARCHAR(MAX),
        datetime NVARCHAR(MAX)
    ) AS v
    CROSS APPLY afil.json_text(v.platform) AS platform
    CROSS APPLY afil.json_text(v.platformid) AS platformid
    CROSS APPLY afil.json_text(v.destination) AS destination
    CROSS APPLY afil.json_text(v.messageid) AS messageid
    CROSS APPLY afil.json_text(v.status) AS status
    CROSS APPLY afil.json_text(v.datetime) AS datetime
    /* Read apart, for Babelfish cuts what WITH reads at 4,000 characters. */
    CROSS APPLY afil.json_text(
        (
            SELECT MAX(k.value)
            FROM OPENJSON(CASE WHEN j.type = 5 THEN j.value ELSE N'{}' END) AS k
            WHERE k.[key] = N'message'
        )
    ) AS message
    WHERE j.type = 5
);
GO
