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
    DECLARE @count INT, @done INT, @checks INT, @next INT, @told NVARCHAR(MAX);
    DECLARE @result TABLE (
        n INT NOT NULL PRIMARY KEY,
        id BIGINT NOT NULL,
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
        healthy BIT NULL,
        account NVARCHAR(128) NULL, /* NULL when the result does not count */
        is_check BIT NOT NULL,
        is_over BIT NOT NULL,
        next_id BIGINT NULL
    );

    INSERT INTO @result (
        n,
        id,
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
        healthy,
        account,
        is_check,
        is_over,
        next_id
    )
    SELECT
        v.n,
        v.id,
        v.attempt,
        v.kind,
        v.started_at,
        v.duration_ms,
        v.http_status,
        afil.json_unescape(v.error_code),
        afil.json_unescape(v.detail),
        v.retry_ms,
        v.look_ms,
        v.is_unknown,
        v.healthy,
        o.account,
        CASE WHEN o.status = 'uncertain' THEN 1 ELSE 0 END,
        CASE
            WHEN o.account IS NULL THEN 0
            WHEN v.kind IN ('sent', 'failed') OR (v.kind = 'uncertain' AND v.look_ms IS NULL) THEN 1
            ELSE 0
        END,
        o.next_id
    FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY n) AS place
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
        )
    ) AS v
    OUTER APPLY (
        SELECT TOP (1)
            r.account,
            r.status,
            (
                SELECT MIN(n.id)
                FROM afil.outbox AS n WITH (READPAST, READCOMMITTEDLOCK)
                WHERE n.conversation = r.conversation AND n.turn = 2
            ) AS next_id
        FROM afil.outbox AS r WITH (FORCESEEK)
        WHERE r.id = v.id
            AND (r.status = 'sending' OR r.check_at IS NOT NULL)
            AND r.lease_id = v.lease_id
            AND r.attempts = v.attempt
            AND v.place = 1
    ) AS o;
    SELECT
        @count = COUNT(*),
        @done = COUNT(account),
        @checks = COUNT(CASE WHEN is_check = 1 THEN 1 END),
        @next = COUNT(CASE WHEN is_over = 1 THEN next_id END)
    FROM @result;

    /*
    A row that was read back (is_check) has had its try: what the reading found settles it, or it waits for another look.
    TOP tells an engine that has no statistics of @result how few rows it is about.
    */
    UPDATE o
    SET
        status = CASE
            WHEN r.kind = 'retry' THEN 'scheduled'
            WHEN r.kind IN ('release', 'hold') THEN CASE WHEN r.is_check = 1 THEN 'uncertain' ELSE 'queued' END
            ELSE r.kind
        END,
        attempts = CASE WHEN r.kind IN ('release', 'hold') AND r.is_check = 0 THEN o.attempts - 1 ELSE o.attempts END,
        turn = CASE WHEN r.is_over = 0 THEN 1 END,
        due_at = CASE WHEN r.kind = 'retry' THEN DATEADD(MILLISECOND, r.retry_ms, @now) ELSE o.due_at END,
        check_at = CASE
            WHEN r.kind = 'uncertain' THEN DATEADD(MILLISECOND, r.look_ms, @now)
            WHEN r.kind IN ('release', 'hold') AND r.is_check = 1 THEN @now
        END,
        unknown_since = CASE
            WHEN r.is_unknown = 1 THEN COALESCE(o.unknown_since, o.taken_at)
            WHEN r.is_check = 1 AND r.kind IN ('sent', 'retry', 'failed') THEN NULL
            ELSE o.unknown_since
        END,
        completed_at = CASE WHEN r.is_over = 1 THEN @now END,
        error_code = CASE
            WHEN r.kind = 'release' OR (r.is_check = 1 AND r.kind IN ('uncertain', 'hold')) THEN o.error_code
            ELSE r.error_code
        END,
        http_status = CASE
            WHEN r.kind = 'release' OR (r.is_check = 1 AND r.kind IN ('uncertain', 'hold')) THEN o.http_status
            ELSE r.http_status
        END,
        lease_id = NULL,
        lease_until = NULL
    FROM afil.outbox AS o WITH (FORCESEEK)
    INNER JOIN (
        SELECT TOP (@done) * FROM @result WHERE account IS NOT NULL
    ) AS r ON r.id = o.id;

    /* The next of each conversation steps forward. */
    IF @next > 0
        UPDATE o
        SET turn = 0
        FROM afil.outbox AS o WITH (FORCESEEK)
        INNER JOIN (
            SELECT TOP (@next) next_id FROM @result WHERE is_over = 1 AND next_id IS NOT NULL
        ) AS n ON n.next_id = o.id
        WHERE o.turn = 2;

    INSERT INTO afil.attempt (id, attempt, started_at, duration_ms, http_status, error_code, detail, worker)
    SELECT r.id, r.attempt, r.started_at, r.duration_ms, r.http_status, r.error_code, r.detail, @worker
    FROM @result AS r
    /* A row whose attempts somebody set back by hand has had a try of this number already. */
    WHERE r.account IS NOT NULL
        AND r.kind NOT IN ('release', 'hold')
        AND r.is_check = 0
        AND NOT EXISTS (SELECT 1 FROM afil.attempt AS a WHERE a.id = r.id AND a.attempt = r.attempt);

    IF @checks > 0
    BEGIN
        UPDATE a
        SET detail = LEFT(CONCAT(a.detail + N'; ', r.detail), 400)
        FROM afil.attempt AS a WITH (FORCESEEK)
        INNER JOIN @result AS r ON r.id = a.id AND r.attempt = a.attempt
        WHERE r.is_check = 1 AND r.is_over = 1;
        INSERT INTO afil.event_log (logged_at, event, detail)
        SELECT @now, 'read_back', CONCAT(r.id, N': ', r.kind, N', ', r.detail, N' (', @worker, N')')
        FROM @result AS r
        WHERE r.is_check = 1 AND (r.is_over = 1 OR r.kind = 'retry');
    END;

    /* The latest answer stays. An uncounted try (hold, release) may have left one at the same attempt. */
    IF EXISTS (
           SELECT 1
           FROM @result AS r
           INNER JOIN afil.response AS p ON p.id = r.id
           WHERE r.account IS NOT NULL
       )
        DELETE FROM afil.response
        WHERE id IN (
                SELECT r.id
                FROM @result AS r
                INNER JOIN OPENJSON(@bodies) AS b ON CAST(b.[key] AS INT) = r.n
                WHERE r.account IS NOT NULL AND b.value IS NOT NULL
            );
    INSERT INTO afil.response (id, received_at, body)
    SELECT r.id, @now, afil.json_unescape(b.value)
    FROM @result AS r
    INNER JOIN OPENJSON(@bodies) AS b ON CAST(b.[key] AS INT) = r.n
    WHERE r.account IS NOT NULL AND b.value IS NOT NULL;

    SET @told = (
            SELECT
                r.id,
                r.account,
                r.kind,
                r.http_status,
                CONCAT(r.error_code, N': ', r.detail) AS why,
                r.retry_ms AS wait_ms,
                r.healthy
            FROM @result AS r
            LEFT JOIN afil.account AS a ON a.probe_id = r.id
            WHERE r.account IS NOT NULL AND (r.kind = 'hold' OR r.http_status = 429 OR a.name IS NOT NULL)
            FOR JSON PATH
        );
    IF @told IS NOT NULL
        EXEC afil.exchange_accounts @worker = @worker, @told = @told, @now = @now, @reopened = @reopened OUTPUT;

    IF @done < @count
        SELECT @lost = N'[' + STRING_AGG(CAST(l.id AS NVARCHAR(MAX)), N',') + N']'
        FROM (
            SELECT DISTINCT TOP (150) r.id
            FROM @result AS r
            WHERE r.kind NOT IN ('release', 'hold')
                AND NOT EXISTS (SELECT 1 FROM @result AS d WHERE d.id = r.id AND d.account IS NOT NULL)
                AND NOT EXISTS (
                    SELECT 1 FROM afil.attempt AS a WHERE a.id = r.id AND a.attempt = r.attempt AND a.worker = @worker
                )
        ) AS l;
    RETURN 0;
END;
GO
