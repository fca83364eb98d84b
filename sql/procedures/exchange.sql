SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
One round trip of a worker: finished results in, leases renewed, the next rows out, leased to it.

Exchanges of one database take turns (an application lock held for milliseconds), so the line of each conversation
has one hand on it. The meaning of `turn`: 0 in line, not looked at; 1 its conversation's turn; 2 behind another row;
NULL not in line.

What is looked up by key says FORCESEEK: a small table is otherwise cheaper to scan, and a scan waits for the rows of
callers that have not committed.

EXEC afil.exchange @worker = N'example', @take = 0;

Returns  a row (waiting bit, next_due_ms bigint, lost: ids as JSON, reopened: accounts as JSON, now), then the rows taken;
         when there are some to be read back, these, and then what else their conversations were sent; 0
Errors   51001 a parameter is not allowed; 51010 another exchange holds the lock for ten seconds
Grants   afil_worker
*/
CREATE OR ALTER PROCEDURE afil.exchange
    @worker NVARCHAR(128),
    @results NVARCHAR(MAX) = NULL, /* [{"n": place from 0, "id", "lease_id", "attempt", "kind", …}] */
    @take INT = 0, /* 0 to 500 */
    @renew NVARCHAR(MAX) = NULL, /* ["lease id", …] */
    @lease_seconds INT = 120, /* 1 to 86400 */
    @on_unknown VARCHAR(10) = 'hold', /* reconcile, hold, retry */
    @lease_id UNIQUEIDENTIFIER = NULL, /* of the rows taken now; NULL makes one */
    @abandoned NVARCHAR(MAX) = NULL, /* ["lease id", …] of exchanges whose answer never reached the worker */
    @bodies NVARCHAR(MAX) = NULL, /* ["answer" or null, …] by the place of the result */
    @room INT = NULL, /* rows of one account at most; NULL is @take */
    @accounts NVARCHAR(MAX) = NULL, /* [{"account", "room", "rate": requests a second, "burst"}]: those that differ */
    @tripped NVARCHAR(MAX) = NULL /* ["account", …] whose breaker the worker opens */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    DECLARE
        @now DATETIME2(3),
        @until DATETIME2(3),
        @paused BIT = 0,
        @open BIT = 0,
        @checks INT,
        @reopened NVARCHAR(4000) = NULL,
        @lease UNIQUEIDENTIFIER = COALESCE(@lease_id, NEWID()),
        @lost NVARCHAR(4000) = NULL;

    IF @worker IS NULL OR LEN(@worker) NOT BETWEEN 1 AND 128
        THROW 51001, '@worker must be the worker''s name, 1 to 128 characters long', 1;
    IF @take IS NULL OR @take NOT BETWEEN 0 AND 500
        THROW 51001, '@take is not between 0 and 500', 1;
    IF @lease_seconds IS NULL OR @lease_seconds NOT BETWEEN 1 AND 86400
        THROW 51001, '@lease_seconds is not between 1 and 86400', 1;
    IF @on_unknown IS NULL OR @on_unknown NOT IN ('reconcile', 'hold', 'retry')
        THROW 51001, '@on_unknown is not reconcile, hold or retry', 1;
    IF @room < 0
        THROW 51001, '@room is below 0', 1;
    IF ISJSON(COALESCE(@results, N'[]')) = 0
       OR ISJSON(COALESCE(@bodies, N'[]')) = 0
       OR ISJSON(COALESCE(@renew, N'[]')) = 0
       OR ISJSON(COALESCE(@abandoned, N'[]')) = 0
       OR ISJSON(COALESCE(@accounts, N'[]')) = 0
       OR ISJSON(COALESCE(@tripped, N'[]')) = 0
        THROW 51001, '@results, @bodies, @renew, @abandoned, @accounts and @tripped must be JSON arrays or NULL', 1;

    BEGIN TRY
        BEGIN TRANSACTION;
        EXEC afil.lock_line;
        SET @now = SYSUTCDATETIME();
        SET @until = DATEADD(SECOND, @lease_seconds, @now);

        UPDATE afil.worker
        SET seen_at = @now
        WHERE name = @worker;
        IF @@ROWCOUNT = 0
            INSERT INTO afil.worker (name, seen_at)
            VALUES (@worker, @now);

        IF @renew IS NOT NULL
            UPDATE o
            SET lease_until = @until
            FROM afil.outbox AS o WITH (FORCESEEK)
            INNER JOIN OPENJSON(@renew) AS r ON CAST(r.value AS UNIQUEIDENTIFIER) = o.lease_id
            WHERE o.status = 'sending';

        /* The worker never saw these rows, so nothing was sent and no try is counted. */
        IF @abandoned IS NOT NULL
            UPDATE o
            SET status = 'queued', turn = 1, attempts = o.attempts - 1, lease_id = NULL, lease_until = NULL
            FROM afil.outbox AS o WITH (FORCESEEK)
            INNER JOIN OPENJSON(@abandoned) AS a ON CAST(a.value AS UNIQUEIDENTIFIER) = o.lease_id
            WHERE o.status = 'sending';

        IF @results IS NOT NULL
            EXEC afil.exchange_complete
                @worker = @worker,
                @results = @results,
                @bodies = @bodies,
                @now = @now,
                @lost = @lost OUTPUT,
                @reopened = @reopened OUTPUT;
        IF @tripped IS NOT NULL
            EXEC afil.exchange_trip @worker = @worker, @tripped = @tripped, @now = @now;

        EXEC afil.exchange_sweep @worker = @worker, @now = @now, @on_unknown = @on_unknown;

        IF EXISTS (SELECT 1 FROM afil.setting WHERE name = 'paused' AND value = N'1')
            SET @paused = 1;
        IF @paused = 0 AND @take > 0 AND EXISTS (SELECT 1 FROM afil.subscription)
            EXEC afil.exchange_poll @now = @now;
        IF @paused = 0
            EXEC afil.exchange_take
                @take = @take,
                @lease = @lease,
                @now = @now,
                @until = @until,
                @room = @room,
                @accounts = @accounts,
                @open = @open OUTPUT;
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;

    SELECT
        CASE
            WHEN @open = 1 THEN 1
            WHEN EXISTS (SELECT 1 FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK) WHERE status = 'sending') THEN 1
            WHEN @paused = 1 THEN 0
            WHEN EXISTS (
                SELECT 1
                FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                WHERE o.status = 'scheduled'
                    AND o.turn = 1
                    AND NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = o.account AND a.held_at IS NOT NULL)
            ) THEN 1
            WHEN EXISTS (
                SELECT 1
                FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                WHERE o.status = 'uncertain'
                    AND o.check_at IS NOT NULL
                    AND NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = o.account AND a.held_at IS NOT NULL)
            ) THEN 1
            ELSE 0
        END AS waiting,
        (
            SELECT
                CASE
                    WHEN MIN(d.due_at) <= @now THEN 0
                    WHEN MIN(d.due_at) > DATEADD(DAY, 1, @now) THEN 86400000
                    ELSE DATEDIFF(MILLISECOND, @now, MIN(d.due_at))
                END
            FROM (
                SELECT MIN(due_at) AS due_at
                FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
                WHERE status = 'scheduled' AND turn IS NULL
                UNION ALL
                SELECT MIN(due_at) AS due_at
                FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
                WHERE status = 'scheduled' AND turn = 1
                UNION ALL
                SELECT MIN(check_at) AS due_at
                FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
                WHERE status = 'uncertain' AND check_at IS NOT NULL
                UNION ALL
                SELECT MIN(s.due_at)
                FROM afil.subscription AS s
                WHERE NOT EXISTS (
                        SELECT 1
                        FROM afil.account AS a
                        WHERE a.name = s.account AND COALESCE(a.held_at, a.tripped_at) IS NOT NULL
                    )
                UNION ALL
                SELECT MIN(c.poll_at)
                FROM afil.chat AS c WITH (READPAST, READCOMMITTEDLOCK)
                WHERE c.poll_at IS NOT NULL
                    AND NOT EXISTS (
                        SELECT 1
                        FROM afil.account AS a
                        WHERE a.name = c.account AND COALESCE(a.held_at, a.tripped_at) IS NOT NULL
                    )
                UNION ALL
                SELECT MIN(v.due_at)
                FROM (
                    SELECT
                        CASE
                            WHEN COALESCE(held_at, tripped_at) IS NOT NULL THEN probe_at
                            WHEN rest_until > @now THEN rest_until
                            WHEN tokens < 1 THEN DATEADD(MILLISECOND, 1000 * (1 - tokens) / rate + 1, tokens_at)
                        END AS due_at
                    FROM afil.account
                ) AS v
                WHERE v.due_at > @now
            ) AS d
            WHERE d.due_at IS NOT NULL
        ) AS next_due_ms,
        @lost AS lost,
        @reopened AS reopened,
        @now AS now;

    SELECT
        o.id,
        o.request_id,
        o.account,
        o.method,
        o.platform,
        o.platformid,
        o.destination,
        o.message,
        o.type,
        o.fileurl,
        o.thumburl,
        o.attempts,
        o.max_attempts,
        o.lease_id,
        CASE WHEN EXISTS (SELECT 1 FROM afil.account AS a WHERE a.probe_id = o.id) THEN 1 ELSE 0 END AS is_probe,
        CASE WHEN o.subscription_id IS NULL THEN 0 ELSE 1 END AS is_poll
    FROM afil.outbox AS o WITH (FORCESEEK)
    WHERE o.status = 'sending' AND o.lease_id = @lease
    ORDER BY o.priority, o.id;

    /* Rows to be read back, and what else their conversations were sent lately: to tell one message from another. */
    IF EXISTS (
           SELECT 1
           FROM afil.outbox
           WHERE status = 'uncertain' AND check_at IS NOT NULL AND check_at = @until AND lease_id = @lease
       )
    BEGIN
        SELECT
            o.id,
            o.request_id,
            o.account,
            o.method,
            o.platform,
            o.platformid,
            o.destination,
            o.message,
            o.type,
            o.fileurl,
            o.thumburl,
            o.attempts,
            o.max_attempts,
            o.lease_id,
            CASE WHEN EXISTS (SELECT 1 FROM afil.account AS a WHERE a.probe_id = o.id) THEN 1 ELSE 0 END AS is_probe,
            0 AS is_poll,
            o.taken_at,
            o.unknown_since
        FROM afil.outbox AS o
        WHERE o.status = 'uncertain' AND o.check_at IS NOT NULL AND o.check_at = @until AND o.lease_id = @lease;
        SELECT o.id AS for_id, k.id, k.is_certain, k.taken_at, k.message, k.fileurl
        FROM afil.outbox AS o
        CROSS APPLY (
            SELECT TOP (200)
                s.id,
                CASE WHEN s.status = 'sent' AND s.unknown_since IS NULL THEN 1 ELSE 0 END AS is_certain,
                s.taken_at,
                LEFT(s.message, 4000) AS message,
                s.fileurl
            FROM afil.outbox AS s WITH (READPAST, READCOMMITTEDLOCK)
            WHERE s.conversation = o.conversation AND s.id <> o.id AND (s.turn IS NULL OR s.id < o.id) /* one in line before this one was put back by a person */
                AND s.taken_at >= DATEADD(HOUR, -27, o.unknown_since)
                AND s.method IN ('sendmessage', 'sendfile')
                AND (s.status IN ('sent', 'uncertain') OR s.unknown_since IS NOT NULL)
            ORDER BY s.id DESC
        ) AS k
        WHERE o.status = 'uncertain' AND o.check_at IS NOT NULL AND o.check_at = @until AND o.lease_id = @lease
        ORDER BY o.id, k.id;
    END;
    RETURN 0;
END;
GO
