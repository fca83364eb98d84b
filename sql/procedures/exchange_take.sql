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
    DECLARE @pass INT = 0, @taken INT = 0, @found INT = 1, @batch INT = @take, @name NVARCHAR(128) = N'';
    DECLARE @waiting TABLE (
        name NVARCHAR(128) NOT NULL PRIMARY KEY,
        is_queued BIT NOT NULL
    );
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
        pass INT NOT NULL,
        turn TINYINT NOT NULL,
        place INT NOT NULL
    );
    DECLARE @check TABLE (
        id BIGINT NOT NULL PRIMARY KEY,
        account NVARCHAR(128) NOT NULL
    );

    /* The accounts that have something queued: one seek each. */
    WHILE @name IS NOT NULL
    BEGIN
        SELECT @name = MIN(account)
        FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
        WHERE status = 'queued' AND account > @name;
        IF @name IS NOT NULL
            INSERT INTO @waiting (name, is_queued)
            VALUES (@name, 1);
    END;
    INSERT INTO @waiting (name, is_queued)
    SELECT DISTINCT o.account, 0
    FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
    WHERE o.status = 'uncertain'
        AND o.check_at IS NOT NULL
        AND o.check_at <= @now
        AND NOT EXISTS (SELECT 1 FROM @waiting AS w WHERE w.name = o.account);

    IF EXISTS (
           SELECT 1
           FROM @waiting AS w
           WHERE w.is_queued = 1
               AND NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = w.name AND a.held_at IS NOT NULL)
       )
        SET @open = 1;
    ELSE
        SET @open = 0;
    IF @take = 0
        RETURN 0;
    SET @room = COALESCE(@room, @take);

    IF @accounts IS NULL AND NOT EXISTS (SELECT 1 FROM afil.account)
        INSERT INTO @account (name, is_closed, given, room)
        SELECT name, 0, @room, @room FROM @waiting;
    ELSE
        INSERT INTO @account (name, is_closed, given, room, rate, rate_found, tokens)
        SELECT w.name, COALESCE(r.is_closed, 0), r.room, r.room, r.rate, r.rate_found, r.tokens
        FROM @waiting AS w
        CROSS APPLY afil.account_room(w.name, COALESCE(@accounts, N'[]'), @room, @now) AS r;

    /* Rows to be read back come first, for a conversation waits for each; but at most half, for they may be many. */
    INSERT INTO @check (id, account)
    SELECT TOP ((@take + 1) / 2) d.id, d.account
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
    IF @taken > 0
    BEGIN
        UPDATE o
        SET lease_id = @lease, check_at = @until
        FROM afil.outbox AS o WITH (FORCESEEK)
        INNER JOIN @check AS c ON c.id = o.id;
        UPDATE @account
        SET room = room - (SELECT COUNT(*) FROM @check AS c WHERE c.account = name);
    END;

    WHILE @taken < @take AND @found > 0 AND @pass < 10
    BEGIN
        SET @pass = @pass + 1;
        INSERT INTO @row (id, account, pass, turn, place)
        SELECT
            p.id,
            p.account,
            @pass,
            p.turn,
            ROW_NUMBER() OVER (PARTITION BY p.turn ORDER BY p.priority, p.place, p.id)
        FROM (
            SELECT
                v.id,
                v.account,
                v.priority,
                v.turn,
                v.room,
                ROW_NUMBER() OVER (PARTITION BY v.account, v.turn ORDER BY v.priority, v.id) AS place
            FROM (
                SELECT
                    c.id,
                    c.account,
                    c.priority,
                    c.room,
                    CASE
                        WHEN c.turn = 1 THEN 1
                        WHEN EXISTS (
                            SELECT 1
                            FROM afil.outbox AS o WITH (FORCESEEK, READCOMMITTEDLOCK)
                            WHERE o.conversation = c.conversation AND o.turn = 1
                        ) THEN 2
                        WHEN EXISTS (
                            SELECT 1
                            FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                            WHERE o.conversation = c.conversation AND o.turn IN (0, 2) AND o.id < c.id
                        ) THEN 2
                        ELSE 1
                    END AS turn
                FROM (
                    SELECT q.id, q.turn, q.priority, q.conversation, a.name AS account, a.room
                    FROM @account AS a
                    CROSS APPLY (
                        SELECT TOP (@batch) u.id, u.turn, u.priority, u.conversation
                        FROM (
                            SELECT r.id, r.turn, r.priority, r.conversation
                            FROM (
                                SELECT TOP (@batch) id, turn, priority, conversation
                                FROM afil.outbox WITH (READPAST, UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
                                WHERE status = 'queued' AND account = a.name AND turn = 1
                                ORDER BY priority, id
                            ) AS r
                            UNION ALL
                            SELECT n.id, n.turn, n.priority, n.conversation
                            FROM (
                                SELECT TOP (@batch) id, turn, priority, conversation
                                FROM afil.outbox WITH (READPAST, UPDLOCK, ROWLOCK, READCOMMITTEDLOCK)
                                WHERE status = 'queued' AND account = a.name AND turn = 0
                                ORDER BY priority, id
                            ) AS n
                        ) AS u
                        ORDER BY u.priority, u.id
                    ) AS q
                    WHERE a.room > 0
                ) AS c
            ) AS v
        ) AS p
        WHERE p.turn = 2 OR p.place <= p.room;
        SET @found = @@ROWCOUNT;

        /* What could be leased beyond @take stays as it is, for the next exchange. */
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
        INNER JOIN @row AS r ON r.id = o.id
        WHERE r.pass = @pass AND o.status = 'queued' AND o.turn IN (0, 1);

        UPDATE @account
        SET room = room - (SELECT COUNT(*) FROM @row AS r WHERE r.account = name AND r.pass = @pass AND r.turn = 1);
        SELECT @taken = (SELECT COUNT(*) FROM @row WHERE turn = 1) + (SELECT COUNT(*) FROM @check);
        SET @batch = 500;
    END;

    /* The row that tries a closed account; should its worker die, another is tried once its lease has run out. */
    IF EXISTS (SELECT 1 FROM @account WHERE is_closed = 1 AND room < given)
        UPDATE a
        SET probe_at = @until, probe_id = p.id
        FROM afil.account AS a
        INNER JOIN (
            SELECT r.account, MIN(r.id) AS id FROM @row AS r WHERE r.turn = 1 GROUP BY r.account
            UNION ALL
            SELECT c.account, MIN(c.id) FROM @check AS c GROUP BY c.account
        ) AS p ON p.account = a.name
        WHERE a.held_at IS NOT NULL OR a.tripped_at IS NOT NULL;

    IF EXISTS (SELECT 1 FROM @account WHERE rate IS NOT NULL)
    BEGIN
        INSERT INTO afil.account (name)
        SELECT t.name
        FROM @account AS t
        WHERE t.rate IS NOT NULL AND NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = t.name);
        UPDATE a
        SET rate = t.rate, rate_found = t.rate_found, tokens = t.tokens - (t.given - t.room), tokens_at = @now
        FROM afil.account AS a
        INNER JOIN @account AS t ON t.name = a.name
        WHERE t.rate IS NOT NULL;
    END;
    IF EXISTS (
           SELECT 1
           FROM @account AS t
           INNER JOIN afil.account AS a ON a.name = t.name
           WHERE t.rate IS NULL AND a.rate IS NOT NULL
       )
        UPDATE a
        SET rate = NULL, rate_found = NULL, tokens = NULL, tokens_at = NULL
        FROM afil.account AS a
        INNER JOIN @account AS t ON t.name = a.name
        WHERE t.rate IS NULL;
    RETURN 0;
END;
GO
