SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
What results say of their accounts. Part of afil.exchange, inside its transaction and lock.

Credentials refused: the account is held, and one request is tried again every probe_seconds. Too many requests: the
account rests as long as the answer asked, and its rate is cut to 70 % of what went through lately. The request that
tried a closed account: a healthy answer opens the account, another lets it wait longer.

EXEC afil.exchange_accounts @worker = N'example', @told = N'[]', @now = '2026-01-01';

Returns  @reopened OUTPUT, [{"account", "seconds" it was closed}] or NULL; 0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.exchange_accounts
    @worker NVARCHAR(128),
    @told NVARCHAR(MAX), /* [{"id", "account", "kind", "http_status", "why", "wait_ms", "healthy"}] */
    @now DATETIME2(3),
    @reopened NVARCHAR(4000) = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @probe_seconds INT = 300;
    DECLARE @result TABLE (
        id BIGINT NOT NULL PRIMARY KEY,
        account NVARCHAR(128) NOT NULL,
        kind VARCHAR(10) NOT NULL,
        http_status INT NULL,
        why NVARCHAR(400) NULL,
        wait_ms INT NULL,
        healthy BIT NULL
    );
    DECLARE @held TABLE (
        account NVARCHAR(128) NOT NULL PRIMARY KEY,
        reason NVARCHAR(400) NULL
    );
    DECLARE @slow TABLE (
        account NVARCHAR(128) NOT NULL PRIMARY KEY,
        wait_ms INT NOT NULL,
        is_new BIT NOT NULL,
        rate FLOAT NOT NULL
    );
    DECLARE @open TABLE (
        account NVARCHAR(128) NOT NULL PRIMARY KEY,
        seconds BIGINT NOT NULL
    );
    SELECT @probe_seconds = CAST(value AS INT) FROM afil.setting WHERE name = 'probe_seconds';

    INSERT INTO @result (id, account, kind, http_status, why, wait_ms, healthy)
    SELECT j.id, a.text, j.kind, j.http_status, LEFT(w.text, 400), j.wait_ms, j.healthy
    FROM OPENJSON(@told) WITH (
        id BIGINT,
        account NVARCHAR(1000),
        kind VARCHAR(10),
        http_status INT,
        why NVARCHAR(4000),
        wait_ms INT,
        healthy BIT
    ) AS j
    CROSS APPLY afil.json_text(j.account) AS a
    CROSS APPLY afil.json_text(j.why) AS w;

    INSERT INTO @held (account, reason)
    SELECT r.account, MAX(r.why)
    FROM @result AS r
    WHERE r.kind = 'hold'
        AND NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = r.account AND a.held_at IS NOT NULL)
    GROUP BY r.account;

    /* Calls that were under way when the first "too many" came say nothing new. */
    INSERT INTO @slow (account, wait_ms, is_new, rate)
    SELECT
        r.account,
        MAX(CASE WHEN r.wait_ms > 1000 THEN r.wait_ms ELSE 1000 END),
        CASE
            WHEN EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = r.account AND a.rest_until > @now) THEN 0
            ELSE 1
        END,
        0
    FROM @result AS r
    WHERE r.http_status = 429 AND r.kind <> 'hold'
    GROUP BY r.account;

    INSERT INTO afil.account (name)
    SELECT n.account
    FROM (
        SELECT account FROM @held
        UNION
        SELECT account FROM @slow
    ) AS n
    WHERE NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = n.account);

    IF EXISTS (SELECT 1 FROM @held)
    BEGIN
        UPDATE a
        SET
            held_at = @now,
            held_reason = h.reason,
            probe_at = CASE WHEN @probe_seconds > 0 THEN DATEADD(SECOND, @probe_seconds, @now) END,
            probe_id = NULL,
            tripped_at = NULL
        FROM afil.account AS a
        INNER JOIN @held AS h ON h.account = a.name;
        INSERT INTO afil.event_log (logged_at, event, detail)
        SELECT @now, 'account_held', CONCAT(h.account, N': ', h.reason, N' (', @worker, N')') FROM @held AS h;
    END;

    IF EXISTS (SELECT 1 FROM @slow)
    BEGIN
        /* What went through within ten seconds, when no rate is in force. */
        UPDATE @slow
        SET
            rate = 0.7 *
            COALESCE(
                (SELECT a.rate FROM afil.account AS a WHERE a.name = account),
                (
                    SELECT COUNT(*)
                    FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                    WHERE o.status = 'sent'
                        AND o.completed_at IS NOT NULL
                        AND o.completed_at > DATEADD(SECOND, -10, @now)
                        AND o.account = account
                ) /
                10.0
            )
        WHERE is_new = 1;
        UPDATE a
        SET
            rest_until = CASE
                WHEN a.rest_until > DATEADD(MILLISECOND, s.wait_ms, @now) THEN a.rest_until
                ELSE DATEADD(MILLISECOND, s.wait_ms, @now)
            END,
            rate_found = CASE
                WHEN s.is_new = 0 THEN a.rate_found
                WHEN s.rate < 1 THEN 1
                ELSE s.rate
            END,
            tokens = CASE WHEN s.is_new = 0 THEN a.tokens ELSE 1 END,
            tokens_at = CASE WHEN s.is_new = 0 THEN a.tokens_at ELSE DATEADD(MILLISECOND, s.wait_ms, @now) END
        FROM afil.account AS a
        INNER JOIN @slow AS s ON s.account = a.name;
        INSERT INTO afil.event_log (logged_at, event, detail)
        SELECT
            @now,
            'too_many_requests',
            CONCAT(
                s.account,
                N': rests ',
                s.wait_ms,
                N' ms, then at most ',
                CAST(CASE WHEN s.rate < 1 THEN 1 ELSE s.rate END AS DECIMAL(12, 1)),
                N' requests a second, growing (',
                @worker,
                N')'
            )
        FROM @slow AS s
        WHERE s.is_new = 1;
    END;

    IF EXISTS (
           SELECT 1
           FROM @result AS r
           INNER JOIN afil.account AS a ON a.probe_id = r.id
       )
    BEGIN
        INSERT INTO @open (account, seconds)
        SELECT a.name, DATEDIFF(SECOND, COALESCE(a.held_at, a.tripped_at), @now)
        FROM @result AS r
        INNER JOIN afil.account AS a ON a.probe_id = r.id
        WHERE r.healthy = 1 AND COALESCE(a.held_at, a.tripped_at) IS NOT NULL;
        /* A breaker's pauses grow: 5, 10, 20, 40, 60 seconds. */
        UPDATE a
        SET
            probe_id = NULL,
            probe_at = CASE
                WHEN r.healthy = 1 THEN NULL
                WHEN r.healthy IS NULL THEN @now
                WHEN a.held_at IS NOT NULL THEN CASE
                    WHEN @probe_seconds > 0 THEN DATEADD(SECOND, @probe_seconds, @now)
                END
                WHEN a.trips < 4 THEN DATEADD(SECOND, 5 * POWER(2, a.trips), @now)
                ELSE DATEADD(SECOND, 60, @now)
            END,
            trips = CASE
                WHEN r.healthy = 1 THEN 0
                WHEN r.healthy = 0 AND a.trips < 4 THEN a.trips + 1
                ELSE a.trips
            END,
            held_at = CASE WHEN r.healthy = 1 THEN NULL ELSE a.held_at END,
            held_reason = CASE WHEN r.healthy = 1 THEN NULL ELSE a.held_reason END,
            tripped_at = CASE WHEN r.healthy = 1 THEN NULL ELSE a.tripped_at END
        FROM afil.account AS a
        INNER JOIN @result AS r ON r.id = a.probe_id;
        IF EXISTS (SELECT 1 FROM @open)
        BEGIN
            INSERT INTO afil.event_log (logged_at, event, detail)
            SELECT
                @now,
                'account_open',
                CONCAT(o.account, N': a request went through after ', o.seconds, N' s (', @worker, N')')
            FROM @open AS o;
            SET @reopened = (SELECT TOP (10) account, seconds FROM @open ORDER BY account FOR JSON PATH);
        END;
    END;
    RETURN 0;
END;
GO
