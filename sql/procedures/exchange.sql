SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
One round trip of a worker: finished results in, leases renewed, the next rows out, leased to it.

Exchanges of one database take turns (an application lock held for milliseconds), so the line of each conversation
has one hand on it. The meaning of `turn`: 0 in line, not looked at; 1 its conversation's turn; 2 behind another
row; NULL not in line. Only rows of turn 1 are taken, so rows that wait cost nothing.

The hints are for SQL Server: READPAST passes by rows of callers that have not committed. Nothing relies on them,
for the lock serializes exchanges and each UPDATE tests the status again.

EXEC afil.exchange @worker = N'example', @take = 0;

Returns  a row (waiting bit, next_due_ms bigint, lost nvarchar: ids as JSON), then the rows taken; 0
Errors   51001 a parameter is not allowed; 51010 another exchange holds the lock for ten seconds
Grants   afil_worker
*/
CREATE OR ALTER PROCEDURE afil.exchange
    @worker NVARCHAR(128),
    @results NVARCHAR(MAX) = NULL, /* [{"id", "lease_id", "attempt", "kind", …}] */
    @take INT = 0, /* 0 to 500 */
    @renew NVARCHAR(MAX) = NULL, /* ["lease id", …] */
    @lease_seconds INT = 120, /* 1 to 86400 */
    @on_unknown VARCHAR(10) = 'hold', /* hold, retry */
    @lease_id UNIQUEIDENTIFIER = NULL, /* of the rows taken now; NULL makes one */
    @abandoned NVARCHAR(MAX) = NULL /* ["lease id", …] of exchanges whose answer never reached the worker */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    DECLARE
        @got INT,
        @now DATETIME2(3),
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
    IF ISJSON(COALESCE(@results, N'[]')) = 0 OR ISJSON(COALESCE(@renew, N'[]')) = 0
        THROW 51001, '@results and @renew must be JSON arrays or NULL', 1;

    DECLARE @taken TABLE (
        id BIGINT NOT NULL PRIMARY KEY
    );

    BEGIN TRY
        BEGIN TRANSACTION;
        EXEC @got = sp_getapplock
            @Resource = N'afil.exchange',
            @LockMode = 'Exclusive',
            @LockOwner = 'Transaction',
            @LockTimeout = 10000;
        IF @got < 0
            THROW 51010, 'another exchange has held the lock for ten seconds: try again', 1;
        SET @now = SYSUTCDATETIME();

        UPDATE afil.worker
        SET seen_at = @now
        WHERE name = @worker;
        IF @@ROWCOUNT = 0
            INSERT INTO afil.worker (name, seen_at)
            VALUES (@worker, @now);

        IF @renew IS NOT NULL
            UPDATE afil.outbox
            SET lease_until = DATEADD(SECOND, @lease_seconds, @now)
            WHERE status = 'sending' AND lease_id IN (SELECT CAST(value AS UNIQUEIDENTIFIER) FROM OPENJSON(@renew));

        /* The worker never saw these rows, so nothing was sent and no try is counted. */
        IF @abandoned IS NOT NULL
            UPDATE afil.outbox
            SET status = 'queued', turn = 1, attempts = attempts - 1, lease_id = NULL, lease_until = NULL
            WHERE status = 'sending' AND lease_id IN (SELECT CAST(value AS UNIQUEIDENTIFIER) FROM OPENJSON(@abandoned));

        IF @results IS NOT NULL
            EXEC afil.exchange_complete @worker = @worker, @results = @results, @now = @now, @lost = @lost OUTPUT;

        EXEC afil.exchange_sweep @worker = @worker, @now = @now, @on_unknown = @on_unknown;

        IF @take > 0
        BEGIN
            EXEC afil.exchange_line @take = @take;
            INSERT INTO @taken (id)
            SELECT TOP (@take) o.id
            FROM afil.outbox AS o WITH (READPAST, UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
            WHERE o.status = 'queued'
                AND o.turn = 1
                AND NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = o.account AND a.held_at IS NOT NULL)
            ORDER BY o.priority, o.id;

            UPDATE o
            SET
                status = 'sending',
                attempts = o.attempts + 1,
                lease_id = @lease,
                lease_until = DATEADD(SECOND, @lease_seconds, @now)
            FROM afil.outbox AS o
            INNER JOIN @taken AS t ON t.id = o.id
            WHERE o.status = 'queued' AND o.turn = 1;
        END;
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;

    SELECT
        CASE
            WHEN EXISTS (SELECT 1 FROM afil.outbox WITH (READPAST) WHERE status = 'sending') THEN 1
            WHEN EXISTS (
                SELECT 1
                FROM afil.outbox AS o WITH (READPAST)
                WHERE (o.status = 'queued' OR (o.status = 'scheduled' AND o.turn = 1))
                    AND NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = o.account AND a.held_at IS NOT NULL)
            ) THEN 1
            ELSE 0
        END AS waiting,
        (
            SELECT CAST(DATEDIFF(SECOND, @now, MIN(due_at)) AS BIGINT) * 1000
            FROM afil.outbox WITH (READPAST)
            WHERE status = 'scheduled'
        ) AS next_due_ms,
        @lost AS lost;

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
        o.lease_id
    FROM @taken AS t
    INNER JOIN afil.outbox AS o ON o.id = t.id
    WHERE o.lease_id = @lease
    ORDER BY o.priority, o.id;
    RETURN 0;
END;
GO
