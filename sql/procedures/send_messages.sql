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
Errors   51001 not a JSON array, or an element's parameter is missing, too long or not allowed; 51005 the sender's quota is used up
Grants   afil_sender
*/
CREATE OR ALTER PROCEDURE afil.send_messages
    @messages NVARCHAR(MAX), /* JSON array */
    @return_ids BIT = 1 /* 0 returns no rows, for use in a trigger */
AS
BEGIN
    SET NOCOUNT ON; /* XACT_ABORT stays as the caller has it, see afil.enqueue */
    /* What filtered indexes ask of a session that writes; old clients leave it off. */
    SET ANSI_PADDING, ANSI_WARNINGS, ARITHABORT, CONCAT_NULL_YIELDS_NULL ON;
    SET NUMERIC_ROUNDABORT OFF;
    DECLARE @fault NVARCHAR(2000), @max_attempts INT, @count INT, @before BIGINT;
    DECLARE @now DATETIME2(3) = SYSUTCDATETIME();
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
        max_attempts INT NULL,
        traceparent NVARCHAR(4000) NULL,
        conversation NVARCHAR(460) NULL,
        fault NVARCHAR(2000) NULL
    );

    IF @messages IS NULL OR ISJSON(@messages) = 0 OR LEFT(LTRIM(@messages), 1) <> N'['
        THROW 51001, '@messages is not a JSON array: write [{"platform": …, "platformid": …, …}, …]', 1;

    INSERT INTO @request (
        n,
        request_id,
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
        send_at,
        dedup_key,
        max_attempts,
        traceparent,
        conversation,
        fault
    )
    SELECT
        CAST(j.[key] AS INT) + 1,
        NEWID(),
        c.method,
        c.platform,
        platformid.text,
        destination.text,
        message.text,
        c.type,
        fileurl.text,
        thumburl.text,
        COALESCE(account.text, N'default'),
        COALESCE(typed.priority, 5),
        typed.send_at,
        dedup_key.text,
        typed.max_attempts,
        v.traceparent,
        LEFT(c.conversation, 460),
        CASE
            WHEN v.priority IS NOT NULL AND typed.priority IS NULL THEN CONCAT(
                N'@priority ''',
                LEFT(v.priority, 80),
                N''' is not between 0 (first) and 9 (last)'
            )
            WHEN v.send_at IS NOT NULL AND typed.send_at IS NULL THEN CONCAT(
                N'@send_at ''',
                LEFT(v.send_at, 80),
                N''' is not a time: write 2026-01-31T08:00:00, in UTC'
            )
            WHEN v.max_attempts IS NOT NULL AND typed.max_attempts IS NULL THEN CONCAT(
                N'@max_attempts ''',
                LEFT(v.max_attempts, 80),
                N''' is not between 1 and 100'
            )
            ELSE COALESCE(c.fault, trace.fault)
        END
    FROM OPENJSON(@messages) AS j
    CROSS APPLY OPENJSON(CASE WHEN j.type = 5 THEN j.value ELSE N'{}' END) WITH (
        method NVARCHAR(MAX),
        platform NVARCHAR(MAX),
        platformid NVARCHAR(MAX),
        destination NVARCHAR(MAX),
        type NVARCHAR(MAX),
        fileurl NVARCHAR(MAX),
        thumburl NVARCHAR(MAX),
        account NVARCHAR(MAX),
        priority NVARCHAR(MAX),
        send_at NVARCHAR(MAX),
        dedup_key NVARCHAR(MAX),
        max_attempts NVARCHAR(MAX),
        traceparent NVARCHAR(MAX)
    ) AS v
    /* A value of another type is refused by name; reading it as a number would end the caller's transaction. */
    CROSS APPLY (
        SELECT
            TRY_CONVERT(INT, v.priority) AS priority,
            TRY_CONVERT(DATETIME2(3), v.send_at) AS send_at,
            TRY_CONVERT(INT, v.max_attempts) AS max_attempts
    ) AS typed
    CROSS APPLY afil.traceparent_check(v.traceparent) AS trace
    CROSS APPLY afil.json_text(v.platformid) AS platformid
    CROSS APPLY afil.json_text(v.destination) AS destination
    CROSS APPLY afil.json_text(v.fileurl) AS fileurl
    CROSS APPLY afil.json_text(v.thumburl) AS thumburl
    CROSS APPLY afil.json_text(v.account) AS account
    CROSS APPLY afil.json_text(v.dedup_key) AS dedup_key
    /* Read apart, for Babelfish cuts what WITH reads at 4,000 characters. */
    CROSS APPLY (
        SELECT MAX(k.value) AS value
        FROM OPENJSON(CASE WHEN j.type = 5 THEN j.value ELSE N'{}' END) AS k
        WHERE k.[key] = N'message'
    ) AS m
    CROSS APPLY afil.json_text(m.value) AS message
    CROSS APPLY afil.request_check(
        COALESCE(v.method, N'sendmessage'),
        v.platform,
        platformid.text,
        destination.text,
        message.text,
        v.type,
        fileurl.text,
        thumburl.text,
        COALESCE(account.text, N'default'),
        COALESCE(typed.priority, 5),
        dedup_key.text,
        typed.max_attempts
    ) AS c;
    SET @count = @@ROWCOUNT;

    SELECT TOP (1) @fault = CONCAT(N'request ', n, N': ', fault) FROM @request WHERE fault IS NOT NULL ORDER BY n;
    IF @fault IS NOT NULL
        THROW 51001, @fault, 1;

    EXEC afil.check_quota @adding = @count;
    SELECT @max_attempts = CAST(value AS INT) FROM afil.setting WHERE name = 'max_attempts';
    SELECT @before = COALESCE(MAX(id), 0) FROM afil.outbox WITH (NOLOCK);

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
        created_by,
        traceparent
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
        COALESCE(r.max_attempts, @max_attempts),
        r.dedup_key,
        r.conversation,
        @now,
        SUSER_SNAME(),
        r.traceparent
    FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY account, dedup_key ORDER BY n) AS place FROM @request
    ) AS r
    WHERE r.dedup_key IS NULL
        OR (
            r.place = 1
            AND NOT EXISTS (
                SELECT 1
                FROM afil.outbox AS o WITH (UPDLOCK, HOLDLOCK)
                WHERE o.account = r.account AND o.dedup_key = r.dedup_key
            )
        )
    ORDER BY r.n;

    IF @return_ids = 0
        RETURN 0;
    /*
    NOLOCK: rows of one's own are the only ones with these request_ids, and those found by their key were waited for
    above. It keeps this from waiting for other callers' rows, and a SERIALIZABLE caller from locking a range of them.
    */
    SELECT r.n, o.id
    FROM @request AS r
    INNER JOIN afil.outbox AS o WITH (NOLOCK) ON o.request_id = r.request_id AND o.id > @before
    UNION ALL
    SELECT r.n, o.id
    FROM @request AS r
    INNER JOIN afil.outbox AS o WITH (NOLOCK) ON o.account = r.account AND o.dedup_key = r.dedup_key
    WHERE r.dedup_key IS NOT NULL AND o.request_id <> r.request_id
    ORDER BY 1;
    RETURN 0;
END;
GO
