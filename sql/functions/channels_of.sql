SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The channels in the answer to one request, as rows.

SELECT n, platform, platformid, name FROM afil.channels_of(1) ORDER BY n;

Returns  a row a channel: n int from 1, platform, platformid, name
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER FUNCTION afil.channels_of (@id BIGINT)
RETURNS TABLE AS RETURN (
    SELECT
        CAST(j.[key] AS INT) + 1 AS n,
        CAST(LEFT(platform.text, 20) AS NVARCHAR(20)) AS platform,
        CAST(LEFT(platformid.text, 100) AS NVARCHAR(100)) AS platformid,
        CAST(LEFT(name.text, 400) AS NVARCHAR(400)) AS name
    FROM afil.answer_list(@id) AS j
    CROSS APPLY OPENJSON(CASE WHEN j.type = 5 THEN j.value ELSE N'{}' END) WITH (
        platform NVARCHAR(MAX),
        platformid NVARCHAR(MAX),
        name NVARCHAR(MAX)
    ) AS v
    CROSS APPLY afil.json_text(v.platform) AS platform
    CROSS APPLY afil.json_text(v.platformid) AS platformid
    CROSS APPLY afil.json_text(v.name) AS name
    WHERE j.type = 5
);
GO
