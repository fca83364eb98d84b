SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Lease up to @take rows: uncertain ones to be read back, then those whose turn it is. Part of afil.exchange, inside its
transaction and lock.

Fair among accounts: of equal priority each account's first goes first, then each one's second, and none gets more than
its room. An account that is held, resting or out of tokens is passed by without a look at its rows; of one that is
closed and due to be tried, one row is taken, and its result opens or closes the account.

Each waiting row is looked at once. The first of a conversation that has none in flight is leased; one behind another
gets turn 2 and is not looked at again before that changes. Finding out is an index seek, so neither a long queue nor a
long conversation slows it down.

READPAST passes by rows of callers that have not committed. The look for a row in flight does not pass by: should
somebody's open transaction hold one, this waits for it, so that a conversation never has two.

EXEC afil.exchange_take
    @take = 0,
    @lease = '11111111-2222-3333-4444-555555555555',
    @now = '2026-01-01',
    @until = '2026-01-01';

Returns  @open OUTPUT, 1 when something of an account that is not held waits; 0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.exchange_take
    @take INT,
    @lease UNIQUEIDENTIFIER,
    @now DATETIME2(3),
    @until DATETIME2(3),
    @room INT = NULL, /* rows of one account; NULL is @take */
    @accounts NVARCHAR(MAX) = NULL, /* as in afil.exchange */
    @open BIT = 0 OUTPUT
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @pass INT = 0, @taken INT = 0, @found INT, @batch INT = @take, @name NVARCHAR(128) = N'';
    DECLARE @account TABLE (
        name NVARCHAR(128) NOT NULL PRIMARY KEY,
        is_closed BIT NOT NULL,
        given INT NOT NULL,
        room INT NOT NULL,
        rate FLOAT NULL,
        rate_found FLOAT NULL,
        tokens FLOAT NULL
    );
    DECLARE @row TABLE (
        id BIGINT NOT NULL PRIMARY KEY,
        account NVARCHAR(128) NOT NULL,
        pass INT NOT NULL, /* 0 for a row to be read back */
        turn TINYINT NOT NULL,
        place INT NOT NULL
    );
    SET @room = COALESCE(@room, @take);
    SET @accounts = COALESCE(@accounts, N'[]');

    /* The accounts that have something queued: one seek each. */
    SET @open = 0;
    WHILE 1 = 1
    BEGIN
        SET @name = (
                SELECT TOP (1) account
                FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
                WHERE status = 'queued' AND account > @name
                ORDER BY account
            );
        IF @name IS NULL
            BREAK;
        IF @open = 0 AND NOT EXISTS (SELECT 1 FROM afil.account WHERE name = @name AND held_at IS NOT NULL)
            SET @open = 1;
        IF @take > 0
            INSERT INTO @account (name, is_closed, given, room, rate, rate_found, tokens)
            SELECT @name, is_closed, room, room, rate, rate_found, tokens
            FROM afil.account_room(@name, @accounts, @room, @now);
    END;
    IF @take = 0
        RETURN 0;

    /* Rows to be read back come first, for a conversation waits for each; but at most half, for they may be many. */
    IF EXISTS (
           SELECT 1
           FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
           WHERE status = 'uncertain' AND check_at IS NOT NULL AND check_at <= @now
       )
    BEGIN
        INSERT INTO @account (name, is_closed, given, room, rate, rate_found, tokens)
        SELECT u.account, r.is_closed, r.room, r.room, r.rate, r.rate_found, r.tokens
        FROM (
            SELECT DISTINCT account
            FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
            WHERE status = 'uncertain' AND check_at IS NOT NULL AND check_at <= @now
        ) AS u
        CROSS APPLY afil.account_room(u.account, @accounts, @room, @now) AS r
        WHERE NOT EXISTS (SELECT 1 FROM @account AS a WHERE a.name = u.account);
        INSERT INTO @row (id, account, pass, turn, place)
        SELECT TOP ((@take + 1) / 2) d.id, d.account, 0, 1, 0
        FROM (
            SELECT
                o.id,
                o.account,
                o.check_at,
                a.room,
                ROW_NUMBER() OVER (PARTITION BY o.account ORDER BY o.check_at, o.id) AS place
            FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
            INNER JOIN @account AS a ON a.name = o.account
            WHERE o.status = 'uncertain' AND o.check_at IS NOT NULL AND o.check_at <= @now
        ) AS d
        WHERE d.place <= d.room
        ORDER BY d.check_at, d.id;
        SET @taken = @@ROWCOUNT;
        UPDATE o
        SET lease_id = @lease, check_at = @until
        FROM afil.outbox AS o WITH (FORCESEEK)
        INNER JOIN (
            SELECT TOP (@taken) id FROM @row
        ) AS r ON r.id = o.id;
        UPDATE @account
        SET room = room - (SELECT COUNT(*) FROM @row AS r WHERE r.account = name);
    END;

    /*
    An account whose rows did not fill a pass has no more. In the UPDATE, TOP tells an engine without statistics of
    @row how few rows there are, and CASE keeps it from going through all that are queued instead.
    */
    SET @found = @batch;
    WHILE @taken < @take AND @found >= @batch AND @pass < 10
    BEGIN
        SET @batch = CASE WHEN @pass = 0 THEN @take ELSE 500 END;
        SET @pass = @pass + 1;
        WITH candidate AS (
            SELECT q.id, q.turn, q.priority, q.conversation, a.name AS account, a.room
            FROM @account AS a
            CROSS APPLY (
                SELECT TOP (@batch) o.id, o.turn, o.priority, o.conversation
                FROM afil.outbox AS o WITH (READPAST, UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
                WHERE o.status = 'queued' AND o.account = a.name AND o.turn = 1
                ORDER BY o.priority, o.id
            ) AS q
            WHERE a.room > 0
            UNION ALL
            SELECT q.id, q.turn, q.priority, q.conversation, a.name, a.room
            FROM @account AS a
            CROSS APPLY (
                SELECT TOP (@batch) o.id, o.turn, o.priority, o.conversation
                FROM afil.outbox AS o WITH (READPAST, UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
                WHERE o.status = 'queued' AND o.account = a.name AND o.turn = 0
                ORDER BY o.priority, o.id
            ) AS q
            WHERE a.room > 0
        ),
        numbered AS (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY account ORDER BY priority, id) AS n FROM candidate
        ),
        looked_at AS (
            SELECT
                c.id,
                c.account,
                c.priority,
                c.room,
                CASE
                    WHEN c.turn = 1 THEN 1
                    WHEN (
                        SELECT TOP (1) o.turn
                        FROM afil.outbox AS o WITH (FORCESEEK, READCOMMITTEDLOCK)
                        WHERE o.conversation = c.conversation AND o.turn = 1
                    ) = 1 THEN 2
                    WHEN (
                        SELECT MIN(o.id)
                        FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                        WHERE o.conversation = c.conversation AND o.turn = 0
                    ) < c.id THEN 2
                    WHEN (
                        SELECT MIN(o.id)
                        FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                        WHERE o.conversation = c.conversation AND o.turn = 2
                    ) < c.id THEN 2
                    ELSE 1
                END AS turn
            FROM numbered AS c
            WHERE c.n <= @batch
        ),
        placed AS (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY account, turn ORDER BY priority, id) AS place FROM looked_at
        )
        INSERT INTO @row (id, account, pass, turn, place)
        SELECT id, account, @pass, turn, ROW_NUMBER() OVER (PARTITION BY turn ORDER BY priority, place, id)
        FROM placed
        WHERE turn = 2 OR place <= room;
        SET @found = @@ROWCOUNT;

        /* What could be leased beyond @take stays as it is, for the next exchange. */
        IF @found > @take - @taken
            DELETE FROM @row
            WHERE pass = @pass AND turn = 1 AND place > @take - @taken;
        UPDATE o
        SET
            turn = r.turn,
            status = CASE WHEN r.turn = 1 THEN 'sending' ELSE o.status END,
            attempts = CASE WHEN r.turn = 1 AND o.attempts < 2147483647 THEN o.attempts + 1 ELSE o.attempts END,
            lease_id = CASE WHEN r.turn = 1 THEN @lease END,
            lease_until = CASE WHEN r.turn = 1 THEN @until END,
            taken_at = CASE WHEN r.turn = 1 THEN @now ELSE o.taken_at END
        FROM afil.outbox AS o WITH (FORCESEEK)
        INNER JOIN (
            SELECT TOP (@found) id, turn FROM @row WHERE pass = @pass
        ) AS r ON r.id = o.id
        WHERE CASE WHEN o.status = 'queued' THEN o.turn END IN (0, 1);

        UPDATE @account
        SET room = room - (SELECT COUNT(*) FROM @row AS r WHERE r.account = name AND r.pass = @pass AND r.turn = 1);
        SET @taken = @taken + (SELECT COUNT(*) FROM @row WHERE pass = @pass AND turn = 1);
    END;

    /* The row that tries a closed account; should its worker die, another is tried once its lease has run out. */
    IF EXISTS (SELECT 1 FROM @account WHERE is_closed = 1 AND room < given)
        UPDATE a
        SET probe_at = @until, probe_id = r.id
        FROM afil.account AS a
        INNER JOIN (
            SELECT account, MIN(id) AS id FROM @row WHERE turn = 1 GROUP BY account
        ) AS r ON r.account = a.name
        WHERE a.held_at IS NOT NULL OR a.tripped_at IS NOT NULL;

    IF EXISTS (
           SELECT 1
           FROM @account AS t
           LEFT OUTER JOIN afil.account AS a ON a.name = t.name
           WHERE t.rate IS NOT NULL OR a.rate IS NOT NULL
       )
    BEGIN
        INSERT INTO afil.account (name)
        SELECT t.name
        FROM @account AS t
        WHERE t.rate IS NOT NULL AND NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = t.name);
        UPDATE a
        SET
            rate = t.rate,
            rate_found = t.rate_found,
            tokens = CASE WHEN t.rate IS NOT NULL THEN t.tokens - (t.given - t.room) END,
            tokens_at = CASE WHEN t.rate IS NOT NULL THEN @now END
        FROM afil.account AS a
        INNER JOIN @account AS t ON t.name = a.name
        WHERE t.rate IS NOT NULL OR a.rate IS NOT NULL;
    END;
    RETURN 0;
END;
GO
