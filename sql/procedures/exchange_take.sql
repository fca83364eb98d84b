SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Lease up to @take rows whose turn it is, best priority first, then age. Part of afil.exchange, inside its transaction
and lock.

Each waiting row is looked at once. The first of a conversation that has none in flight is leased; one behind another
gets turn 2, one of a held account turn 3, and neither is looked at again before that changes. Finding out is an index
seek, so neither a long queue nor a long conversation slows it down.

READPAST passes by rows of callers that have not committed. The look for a row in flight does not pass by: should
somebody's open transaction hold one, this waits for it, so that a conversation never has two.

EXEC afil.exchange_take @take = 0, @lease = '11111111-2222-3333-4444-555555555555', @until = '2026-01-01';

Returns  0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.exchange_take @take INT, @lease UNIQUEIDENTIFIER, @until DATETIME2(3)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @pass INT = 0, @taken INT = 0, @found INT = 1, @batch INT = @take;
    DECLARE @row TABLE (
        id BIGINT NOT NULL PRIMARY KEY,
        pass INT NOT NULL,
        turn TINYINT NOT NULL,
        place INT NOT NULL
    );

    WHILE @taken < @take AND @found > 0 AND @pass < 10
    BEGIN
        SET @pass = @pass + 1;
        INSERT INTO @row (id, pass, turn, place)
        SELECT v.id, @pass, v.turn, ROW_NUMBER() OVER (PARTITION BY v.turn ORDER BY v.priority, v.id)
        FROM (
            SELECT
                c.id,
                c.priority,
                CASE
                    WHEN EXISTS (
                        SELECT 1 FROM afil.account AS a WHERE a.name = c.account AND a.held_at IS NOT NULL
                    ) THEN 3
                    WHEN c.turn = 1 THEN 1
                    WHEN EXISTS (
                        SELECT 1
                        FROM afil.outbox AS o WITH (FORCESEEK, READCOMMITTEDLOCK)
                        WHERE o.conversation = c.conversation AND o.turn = 1
                    ) THEN 2
                    WHEN EXISTS (
                        SELECT 1
                        FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                        WHERE o.conversation = c.conversation AND o.turn IN (0, 2, 3) AND o.id < c.id
                    ) THEN 2
                    ELSE 1
                END AS turn
            FROM (
                SELECT TOP (@batch) q.id, q.turn, q.priority, q.account, q.conversation
                FROM (
                    SELECT r.id, r.turn, r.priority, r.account, r.conversation
                    FROM (
                        SELECT TOP (@batch) id, turn, priority, account, conversation
                        FROM afil.outbox WITH (READPAST, UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
                        WHERE status = 'queued' AND turn = 1
                        ORDER BY priority, id
                    ) AS r
                    UNION ALL
                    SELECT n.id, n.turn, n.priority, n.account, n.conversation
                    FROM (
                        SELECT TOP (@batch) id, turn, priority, account, conversation
                        FROM afil.outbox WITH (READPAST, UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
                        WHERE status = 'queued' AND turn = 0
                        ORDER BY priority, id
                    ) AS n
                ) AS q
                ORDER BY q.priority, q.id
            ) AS c
        ) AS v;
        SET @found = @@ROWCOUNT;

        /* What could be leased beyond @take stays as it is, for the next exchange. */
        UPDATE o
        SET
            turn = r.turn,
            status = CASE WHEN r.turn = 1 THEN 'sending' ELSE o.status END,
            attempts = CASE WHEN r.turn = 1 AND o.attempts < 2147483647 THEN o.attempts + 1 ELSE o.attempts END,
            lease_id = CASE WHEN r.turn = 1 THEN @lease END,
            lease_until = CASE WHEN r.turn = 1 THEN @until END
        FROM afil.outbox AS o WITH (FORCESEEK)
        INNER JOIN @row AS r ON r.id = o.id
        WHERE r.pass = @pass
            AND (r.turn <> 1 OR r.place <= @take - @taken)
            AND o.status = 'queued'
            AND o.turn IN (0, 1);

        SELECT @taken = COUNT(*) FROM @row WHERE turn = 1;
        SET @batch = 500;
    END;
    RETURN 0;
END;
GO
