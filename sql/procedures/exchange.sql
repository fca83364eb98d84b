SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
One round trip of a worker: finished results in, leases renewed, the next rows out, leased to it.

Exchanges of one database take turns (an application lock held for milliseconds), so the line of each conversation
has one hand on it. The meaning of `turn`: 0 in line, not looked at; 1 its conversation's turn; 2 behind another
row; 3 its account is held; NULL not in line.

What is looked up by key says FORCESEEK: a small table is otherwise cheaper to scan, and a scan waits for the rows of
callers that have not committed.

EXEC afil.exchange @worker = N'example', @take = 0;

Returns  a row (waiting bit, next_due_ms bigint, lost nvarchar: ids as JSON), then the rows taken; 0
Errors   51001 a parameter is not allowed; 51010 another exchange holds the lock for ten seconds
Grants   afil_worker
*/
CREATE OR ALTER PROCEDURE afil.exchange
    @worker NVARCHAR(128),
    @results NVARCHAR(MAX) = NULL, /* [{"n": place from 0, "id", "lease_id", "attempt", "kind", …}] */
    @take INT = 0, /* 0 to 500 */
    @renew NVARCHAR(MAX) = NULL, /* ["lease id", …] */
    @lease_seconds INT = 120, /* 1 to 86400 */
    @on_unknown VARCHAR(10) = 'hold', /* hold, retry */
    @lease_id UNIQUEIDENTIFIER = NULL, /* of the rows taken now; NULL makes one */
    @abandoned NVARCHAR(MAX) = NULL, /* ["lease id", …] of exchanges whose answer never reached the worker */
    @bodies NVARCHAR(MAX) = NULL /* ["answer" or null, …] by the place of the result */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    DECLARE
        @now DATETIME2(3),
        @until DATETIME2(3),
        @paused BIT = 0,
        @lease UNIQUEIDENTIFIER = COALESCE(@lease_id, NEWID()),
        @lost NVARCHAR(4000) = NULL;

    IF @worker IS NULL OR LEN(@worker) NOT BETWEEN 1 AND 128
        THROW 51001, '@worker must be the worker''s name, 1 to 128 characters long', 1;
    IF @take IS NULL OR @take NOT BETWEEN 0 AND 500
        THROW 51001, '@take is not between 0 and 500', 1;
    IF @lease_seconds IS NULL OR @lease_seconds NOT BETWEEN 1 AND 86400
        THROW 51001, '@lease_seconds is not between 1 and 86400', 1;
    IF @on_unknown IS NULL OR @on_unknown NOT IN ('hold', 'retry')
        THROW 51001, '@on_unknown is not hold or retry', 1;
    IF ISJSON(COALESCE(@results, N'[]')) = 0
       OR ISJSON(COALESCE(@bodies, N'[]')) = 0
       OR ISJSON(COALESCE(@renew, N'[]')) = 0
       OR ISJSON(COALESCE(@abandoned, N'[]')) = 0
        THROW 51001, '@results, @bodies, @renew and @abandoned must be JSON arrays or NULL', 1;

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
                @lost = @lost OUTPUT;

        EXEC afil.exchange_sweep @worker = @worker, @now = @now, @on_unknown = @on_unknown;

        IF EXISTS (SELECT 1 FROM afil.setting WHERE name = 'paused' AND value = N'1')
            SET @paused = 1;
        IF @take > 0 AND @paused = 0
            EXEC afil.exchange_take @take = @take, @lease = @lease, @until = @until;
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;

    /* Rows behind another (turn 2) need no look: the one ahead of them is counted. */
    SELECT
        CASE
            WHEN EXISTS (SELECT 1 FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK) WHERE status = 'sending') THEN 1
            WHEN @paused = 1 THEN 0
            WHEN EXISTS (
                SELECT 1
                FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                WHERE o.status = 'queued'
                    AND o.turn IN (0, 1)
                    AND NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = o.account AND a.held_at IS NOT NULL)
            ) THEN 1
            WHEN EXISTS (
                SELECT 1
                FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                WHERE o.status = 'scheduled'
                    AND o.turn = 1
                    AND NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = o.account AND a.held_at IS NOT NULL)
            ) THEN 1
            ELSE 0
        END AS waiting,
        (
            SELECT DATEDIFF_BIG(SECOND, @now, MIN(d.due_at)) * 1000
            FROM (
                SELECT MIN(due_at) AS due_at
                FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
                WHERE status = 'scheduled' AND turn IS NULL
                UNION ALL
                SELECT MIN(due_at) AS due_at
                FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
                WHERE status = 'scheduled' AND turn = 1
            ) AS d
        ) AS next_due_ms,
        @lost AS lost;

    SELECT
        id,
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
        attempts,
        max_attempts,
        lease_id
    FROM afil.outbox WITH (FORCESEEK)
    WHERE status = 'sending' AND lease_id = @lease
    ORDER BY priority, id;
    RETURN 0;
END;
GO
