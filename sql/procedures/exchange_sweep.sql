SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Rows that time moves on: leases that ran out, and scheduled rows that are due. Part of afil.exchange, inside its
transaction and lock; at most 500 rows of each a call.

A lease that ran out leaves the outcome of a send unknown: with 'reconcile' the conversation is read back, with 'hold' it
is left to a person, with 'retry' it is sent again. A get-method is simply asked again.

EXEC afil.exchange_sweep @worker = N'example', @now = '2026-01-01', @on_unknown = 'hold';

Returns  0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.exchange_sweep @worker NVARCHAR(128), @now DATETIME2(3), @on_unknown VARCHAR(10)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    IF EXISTS (
           SELECT 1 FROM afil.outbox WITH (INDEX (ix_outbox_sending)) WHERE status = 'sending' AND lease_until < @now
       )
    BEGIN
        DECLARE @expired TABLE (
            id BIGINT NOT NULL PRIMARY KEY,
            attempt INT NOT NULL,
            status VARCHAR(10) NOT NULL,
            conversation NVARCHAR(460) NOT NULL
        );
        DECLARE @next TABLE (
            id BIGINT NOT NULL PRIMARY KEY
        );
        INSERT INTO @expired (id, attempt, status, conversation)
        SELECT TOP (500)
            id,
            attempts,
            CASE
                WHEN method IN ('sendmessage', 'sendfile')
                AND (@on_unknown <> 'retry' OR attempts >= max_attempts) THEN 'uncertain'
                WHEN attempts >= max_attempts THEN 'failed'
                ELSE 'queued'
            END,
            conversation
        FROM afil.outbox WITH (INDEX (ix_outbox_sending), UPDLOCK, ROWLOCK)
        WHERE status = 'sending' AND lease_until < @now
        ORDER BY lease_until;

        INSERT INTO afil.attempt (id, attempt, started_at, duration_ms, error_code, detail, worker)
        SELECT e.id, e.attempt, @now, 0, N'LEASE_EXPIRED', N'the worker that held the row stopped answering', @worker
        FROM @expired AS e
        WHERE NOT EXISTS (SELECT 1 FROM afil.attempt AS a WHERE a.id = e.id AND a.attempt = e.attempt);

        UPDATE o
        SET
            status = e.status,
            error_code = N'LEASE_EXPIRED',
            lease_id = NULL,
            lease_until = NULL,
            turn = CASE WHEN e.status = 'queued' OR (e.status = 'uncertain' AND @on_unknown = 'reconcile') THEN 1 END,
            check_at = CASE WHEN e.status = 'uncertain' AND @on_unknown = 'reconcile' THEN @now END,
            unknown_since = COALESCE(o.unknown_since, o.taken_at),
            completed_at = CASE
                WHEN e.status = 'queued' OR (e.status = 'uncertain' AND @on_unknown = 'reconcile') THEN NULL
                ELSE @now
            END
        FROM afil.outbox AS o WITH (FORCESEEK)
        INNER JOIN @expired AS e ON e.id = o.id;

        INSERT INTO @next (id)
        SELECT DISTINCT v.id
        FROM (
            SELECT
                (
                    SELECT MIN(n.id)
                    FROM afil.outbox AS n WITH (READPAST, READCOMMITTEDLOCK)
                    WHERE n.conversation = e.conversation AND n.turn = 2
                ) AS id
            FROM @expired AS e
            WHERE e.status = 'failed' OR (e.status = 'uncertain' AND @on_unknown <> 'reconcile')
        ) AS v
        WHERE v.id IS NOT NULL;
        UPDATE o
        SET turn = 0
        FROM afil.outbox AS o WITH (FORCESEEK)
        INNER JOIN @next AS n ON n.id = o.id
        WHERE o.turn = 2;
    END;

    IF EXISTS (
           SELECT 1
           FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
           WHERE status = 'scheduled' AND turn IS NULL AND due_at <= @now
       )
        UPDATE o
        SET status = 'queued', turn = 0
        FROM afil.outbox AS o WITH (FORCESEEK)
        INNER JOIN (
            SELECT TOP (500) id
            FROM afil.outbox WITH (READPAST, UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
            WHERE status = 'scheduled' AND turn IS NULL AND due_at <= @now
            ORDER BY due_at
        ) AS d ON d.id = o.id;

    IF EXISTS (
           SELECT 1
           FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
           WHERE status = 'scheduled' AND turn = 1 AND due_at <= @now
       )
        UPDATE o
        SET status = 'queued'
        FROM afil.outbox AS o WITH (FORCESEEK)
        INNER JOIN (
            SELECT TOP (500) id
            FROM afil.outbox WITH (READPAST, UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
            WHERE status = 'scheduled' AND turn = 1 AND due_at <= @now
            ORDER BY due_at
        ) AS d ON d.id = o.id;
    RETURN 0;
END;
GO
