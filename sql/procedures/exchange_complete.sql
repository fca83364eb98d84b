SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Write back what became of the rows a worker was given. Part of afil.exchange, inside its transaction and lock.

A result counts only while its lease and its attempt are still the row's: a worker that lost its lease changes
nothing, and the same result twice changes nothing the second time.

The answers come apart from the results, by place: read as a plain array they have no limit of length on any engine.

EXEC afil.exchange_complete @worker = N'example', @results = N'[]', @bodies = N'[]', @now = '2026-01-01';

Returns  @lost OUTPUT, the ids whose lease had passed to another, as a JSON array (the first 150) or NULL;
         @reopened OUTPUT, see afil.exchange_accounts; 0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.exchange_complete
    @worker NVARCHAR(128),
    @results NVARCHAR(MAX),
    @bodies NVARCHAR(MAX),
    @now DATETIME2(3),
    @lost NVARCHAR(4000) = NULL OUTPUT,
    @reopened NVARCHAR(4000) = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @result TABLE (
        n INT NOT NULL PRIMARY KEY,
        id BIGINT NOT NULL,
        lease_id UNIQUEIDENTIFIER NOT NULL,
        attempt INT NOT NULL,
        kind VARCHAR(10) NOT NULL,
        started_at DATETIME2(3) NOT NULL,
        duration_ms INT NOT NULL,
        http_status INT NULL,
        error_code NVARCHAR(100) NULL,
        detail NVARCHAR(400) NULL,
        retry_ms INT NULL,
        look_ms INT NULL,
        is_unknown BIT NULL,
        healthy BIT NULL
    );
    DECLARE @done TABLE (
        id BIGINT NOT NULL PRIMARY KEY,
        n INT NOT NULL,
        kind VARCHAR(10) NOT NULL,
        is_check BIT NOT NULL,
        is_over BIT NOT NULL,
        account NVARCHAR(128) NOT NULL,
        conversation NVARCHAR(460) NOT NULL
    );
    DECLARE @next TABLE (
        id BIGINT NOT NULL PRIMARY KEY
    );
    DECLARE @results_count INT, @done_count INT, @told NVARCHAR(MAX);

    INSERT INTO @result (
        n,
        id,
        lease_id,
        attempt,
        kind,
        started_at,
        duration_ms,
        http_status,
        error_code,
        detail,
        retry_ms,
        look_ms,
        is_unknown,
        healthy
    )
    SELECT
        v.n,
        v.id,
        v.lease_id,
        v.attempt,
        v.kind,
        v.started_at,
        v.duration_ms,
        v.http_status,
        e.text,
        d.text,
        v.retry_ms,
        v.look_ms,
        v.is_unknown,
        v.healthy
    FROM OPENJSON(@results) WITH (
        n INT,
        id BIGINT,
        lease_id UNIQUEIDENTIFIER,
        attempt INT,
        kind VARCHAR(10),
        started_at DATETIME2(3),
        duration_ms INT,
        http_status INT,
        error_code NVARCHAR(1000),
        detail NVARCHAR(4000),
        retry_ms INT,
        look_ms INT,
        is_unknown BIT '$.unknown',
        healthy BIT
    ) AS v
    CROSS APPLY afil.json_text(v.error_code) AS e
    CROSS APPLY afil.json_text(v.detail) AS d;
    SET @results_count = @@ROWCOUNT;

    INSERT INTO @done (id, n, kind, is_check, is_over, account, conversation)
    SELECT
        o.id,
        r.n,
        r.kind,
        CASE WHEN o.status = 'uncertain' THEN 1 ELSE 0 END,
        CASE WHEN r.kind IN ('sent', 'failed') OR (r.kind = 'uncertain' AND r.look_ms IS NULL) THEN 1 ELSE 0 END,
        o.account,
        o.conversation
    FROM @result AS r
    INNER JOIN afil.outbox AS o WITH (FORCESEEK) ON o.id = r.id
    WHERE (o.status = 'sending' OR o.check_at IS NOT NULL)
        AND o.lease_id = r.lease_id
        AND o.attempts = r.attempt
        AND NOT EXISTS (SELECT 1 FROM @result AS e WHERE e.id = r.id AND e.n < r.n);
    SET @done_count = @@ROWCOUNT;

    /* A row that was read back (is_check) has had its try: what the reading found settles it, or it waits for another look. */
    UPDATE o
    SET
        status = CASE
            WHEN r.kind = 'retry' THEN 'scheduled'
            WHEN r.kind IN ('release', 'hold') THEN CASE WHEN d.is_check = 1 THEN 'uncertain' ELSE 'queued' END
            ELSE r.kind
        END,
        attempts = CASE WHEN r.kind IN ('release', 'hold') AND d.is_check = 0 THEN o.attempts - 1 ELSE o.attempts END,
        turn = CASE WHEN d.is_over = 0 THEN 1 END,
        due_at = CASE WHEN r.kind = 'retry' THEN DATEADD(MILLISECOND, r.retry_ms, @now) ELSE o.due_at END,
        check_at = CASE
            WHEN r.kind = 'uncertain' THEN DATEADD(MILLISECOND, r.look_ms, @now)
            WHEN r.kind IN ('release', 'hold') AND d.is_check = 1 THEN @now
        END,
        unknown_since = CASE
            WHEN r.is_unknown = 1 THEN COALESCE(o.unknown_since, o.taken_at)
            WHEN d.is_check = 1 AND r.kind IN ('sent', 'retry', 'failed') THEN NULL
            ELSE o.unknown_since
        END,
        completed_at = CASE WHEN d.is_over = 1 THEN @now END,
        error_code = CASE
            WHEN r.kind = 'release' OR (d.is_check = 1 AND r.kind IN ('uncertain', 'hold')) THEN o.error_code
            ELSE r.error_code
        END,
        http_status = CASE
            WHEN r.kind = 'release' OR (d.is_check = 1 AND r.kind IN ('uncertain', 'hold')) THEN o.http_status
            ELSE r.http_status
        END,
        lease_id = NULL,
        lease_until = NULL
    FROM afil.outbox AS o WITH (FORCESEEK)
    INNER JOIN @done AS d ON d.id = o.id
    INNER JOIN @result AS r ON r.n = d.n;

    INSERT INTO afil.attempt (id, attempt, started_at, duration_ms, http_status, error_code, detail, worker)
    SELECT r.id, r.attempt, r.started_at, r.duration_ms, r.http_status, r.error_code, r.detail, @worker
    FROM @done AS d
    INNER JOIN @result AS r ON r.n = d.n
    /* A row whose attempts somebody set back by hand has had a try of this number already. */
    WHERE d.kind NOT IN ('release', 'hold')
        AND d.is_check = 0
        AND NOT EXISTS (SELECT 1 FROM afil.attempt AS a WHERE a.id = r.id AND a.attempt = r.attempt);

    IF EXISTS (SELECT 1 FROM @done WHERE is_check = 1)
    BEGIN
        UPDATE a
        SET detail = LEFT(CONCAT(a.detail + N'; ', r.detail), 400)
        FROM afil.attempt AS a WITH (FORCESEEK)
        INNER JOIN @done AS d ON d.id = a.id
        INNER JOIN @result AS r ON r.n = d.n AND r.attempt = a.attempt
        WHERE d.is_check = 1 AND d.is_over = 1;
        INSERT INTO afil.event_log (logged_at, event, detail)
        SELECT @now, 'read_back', CONCAT(d.id, N': ', d.kind, N', ', r.detail, N' (', @worker, N')')
        FROM @done AS d
        INNER JOIN @result AS r ON r.n = d.n
        WHERE d.is_check = 1 AND (d.is_over = 1 OR d.kind = 'retry');
    END;

    /* The latest answer stays. An uncounted try (hold, release) may have left one at the same attempt. */
    IF EXISTS (
           SELECT 1
           FROM @done AS d
           INNER JOIN afil.response AS r ON r.id = d.id
       )
        DELETE FROM afil.response
        WHERE id IN (
                SELECT d.id
                FROM @done AS d
                INNER JOIN OPENJSON(@bodies) AS b ON CAST(b.[key] AS INT) = d.n
                WHERE b.value IS NOT NULL
            );
    INSERT INTO afil.response (id, received_at, body)
    SELECT d.id, @now, t.text
    FROM @done AS d
    INNER JOIN OPENJSON(@bodies) AS b ON CAST(b.[key] AS INT) = d.n
    CROSS APPLY afil.json_text(b.value) AS t
    WHERE b.value IS NOT NULL;

    /* The next of each conversation steps forward. */
    INSERT INTO @next (id)
    SELECT DISTINCT v.id
    FROM (
        SELECT
            (
                SELECT MIN(n.id)
                FROM afil.outbox AS n WITH (READPAST, READCOMMITTEDLOCK)
                WHERE n.conversation = d.conversation AND n.turn = 2
            ) AS id
        FROM @done AS d
        WHERE d.is_over = 1
    ) AS v
    WHERE v.id IS NOT NULL;
    UPDATE o
    SET turn = 0
    FROM afil.outbox AS o WITH (FORCESEEK)
    INNER JOIN @next AS n ON n.id = o.id
    WHERE o.turn = 2;

    IF EXISTS (
           SELECT 1
           FROM @done AS d
           INNER JOIN @result AS r ON r.n = d.n
           LEFT JOIN afil.account AS a ON a.probe_id = d.id
           WHERE d.kind = 'hold' OR r.http_status = 429 OR a.name IS NOT NULL
       )
    BEGIN
        SET @told = (
                SELECT
                    d.id,
                    d.account,
                    d.kind,
                    r.http_status,
                    CONCAT(r.error_code, N': ', r.detail) AS why,
                    r.retry_ms AS wait_ms,
                    r.healthy
                FROM @done AS d
                INNER JOIN @result AS r ON r.n = d.n
                LEFT JOIN afil.account AS a ON a.probe_id = d.id
                WHERE d.kind = 'hold' OR r.http_status = 429 OR a.name IS NOT NULL
                FOR JSON PATH
            );
        EXEC afil.exchange_accounts @worker = @worker, @told = @told, @now = @now, @reopened = @reopened OUTPUT;
    END;

    IF @done_count < @results_count
        SELECT @lost = N'[' + STRING_AGG(CAST(l.id AS NVARCHAR(MAX)), N',') + N']'
        FROM (
            SELECT DISTINCT TOP (150) r.id
            FROM @result AS r
            WHERE r.kind NOT IN ('release', 'hold')
                AND NOT EXISTS (SELECT 1 FROM @done AS d WHERE d.id = r.id)
                AND NOT EXISTS (
                    SELECT 1 FROM afil.attempt AS a WHERE a.id = r.id AND a.attempt = r.attempt AND a.worker = @worker
                )
        ) AS l;
    RETURN 0;
END;
GO
