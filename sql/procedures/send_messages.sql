SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Put many requests in the outbox at once, all or none. Each element of the JSON array takes the parameters of
afil.send_message by name, and method to make it another request than sendmessage.

EXEC afil.send_messages @messages = N'[
    {"platform": "whatsapp", "platformid": "100", "destination": "34600000000", "message": "Your order left today."},
    {"platform": "telegram", "platformid": "200", "destination": "34600000001", "message": "So did yours.", "priority": 1}
]';

Returns  a row a request, in the array's order: n (from 1), id; 0
Errors   51001 not a JSON array, or an element's parameter is missing, too long or not allowed
Grants   afil_sender
*/
CREATE OR ALTER PROCEDURE afil.send_messages @messages NVARCHAR(MAX)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @fault NVARCHAR(2000), @now DATETIME2(3) = SYSUTCDATETIME(), @max_attempts INT;
    DECLARE @request TABLE (
        n INT NOT NULL PRIMARY KEY,
        request_id UNIQUEIDENTIFIER NOT NULL,
        method NVARCHAR(4000) NULL,
        platform NVARCHAR(4000) NULL,
        platformid NVARCHAR(4000) NULL,
        destination NVARCHAR(4000) NULL,
        message NVARCHAR(MAX) NULL,
        type NVARCHAR(4000) NULL,
        fileurl NVARCHAR(4000) NULL,
        thumburl NVARCHAR(4000) NULL,
        account NVARCHAR(4000) NULL,
        priority INT NULL,
        send_at DATETIME2(3) NULL,
        dedup_key NVARCHAR(4000) NULL,
        max_attempts INT NULL
    );

    IF @messages IS NULL OR ISJSON(@messages) = 0 OR LEFT(LTRIM(@messages), 1) <> N'['
        THROW 51001, '@messages is not a JSON array: write [{"platform": …, "platformid": …, …}, …]', 1;

    INSERT INTO @request
    SELECT
        CAST(j.[key] AS INT) + 1,
        NEWID(),
        COALESCE(v.method, N'sendmessage'),
        afil.json_text(v.platform),
        afil.json_text(v.platformid),
        afil.json_text(v.destination),
        afil.json_text((SELECT k.value FROM OPENJSON(j.value) AS k WHERE k.[key] = N'message')),
        afil.json_text(v.type),
        afil.json_text(v.fileurl),
        afil.json_text(v.thumburl),
        COALESCE(afil.json_text(v.account), N'default'),
        COALESCE(v.priority, 5),
        v.send_at,
        afil.json_text(v.dedup_key),
        v.max_attempts
    FROM OPENJSON(@messages) AS j
    CROSS APPLY OPENJSON(j.value) WITH (
        method NVARCHAR(4000),
        platform NVARCHAR(4000),
        platformid NVARCHAR(4000),
        destination NVARCHAR(4000),
        type NVARCHAR(4000),
        fileurl NVARCHAR(4000),
        thumburl NVARCHAR(4000),
        account NVARCHAR(4000),
        priority INT,
        send_at DATETIME2(3),
        dedup_key NVARCHAR(4000),
        max_attempts INT
    ) AS v;

    SELECT TOP (1) @fault = CONCAT(N'request ', f.n, N': ', f.fault)
    FROM (
        SELECT
            n,
            afil.request_fault(
                method,
                platform,
                platformid,
                destination,
                message,
                type,
                fileurl,
                thumburl,
                account,
                priority,
                dedup_key,
                max_attempts
            ) AS fault
        FROM @request
    ) AS f
    WHERE f.fault IS NOT NULL
    ORDER BY f.n;
    IF @fault IS NOT NULL
        THROW 51001, @fault, 1;

    SELECT @max_attempts = CAST(value AS INT) FROM afil.setting WHERE name = 'max_attempts';

    INSERT INTO afil.outbox (
        request_id,
        account,
        method,
        platform,
        platformid,
        destination,
        message,
        type,
        fileurl,
        thumburl,
        priority,
        status,
        turn,
        due_at,
        attempts,
        max_attempts,
        dedup_key,
        conversation,
        created_at,
        created_by
    )
    SELECT
        r.request_id,
        r.account,
        r.method,
        r.platform,
        r.platformid,
        r.destination,
        r.message,
        r.type,
        r.fileurl,
        r.thumburl,
        r.priority,
        CASE WHEN r.send_at > @now THEN 'scheduled' ELSE 'queued' END,
        CASE WHEN r.send_at > @now THEN NULL ELSE 0 END,
        CASE WHEN r.send_at > @now THEN r.send_at ELSE @now END,
        0,
        COALESCE(r.max_attempts, @max_attempts, 8),
        r.dedup_key,
        afil.conversation_key(r.account, r.platform, r.platformid, r.destination),
        @now,
        SUSER_SNAME()
    FROM @request AS r
    WHERE r.dedup_key IS NULL
        OR (
            NOT EXISTS (
                SELECT 1
                FROM afil.outbox AS o WITH (UPDLOCK, HOLDLOCK)
                WHERE o.account = r.account AND o.dedup_key = r.dedup_key
            )
            AND NOT EXISTS (
                SELECT 1 FROM @request AS e WHERE e.account = r.account AND e.dedup_key = r.dedup_key AND e.n < r.n
            )
        )
    ORDER BY r.n;

    SELECT f.n, f.id
    FROM (
        SELECT r.n, o.id
        FROM @request AS r
        INNER JOIN afil.outbox AS o ON o.request_id = r.request_id
        UNION ALL
        SELECT r.n, o.id
        FROM @request AS r
        INNER JOIN afil.outbox AS o ON o.account = r.account AND o.dedup_key = r.dedup_key
        WHERE r.dedup_key IS NOT NULL AND o.request_id <> r.request_id
    ) AS f
    ORDER BY f.n;
    RETURN 0;
END;
GO
