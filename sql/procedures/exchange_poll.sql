SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
What subscriptions ask for becomes requests (polls), and finished polls go. Part of afil.exchange, inside its transaction
and lock. A poll that this very exchange finished goes with the next: should the answer be lost, the worker hands in its
result again, and it is known.

A poll is a row of the outbox like any other: leased, retried, held with its account. It has the lowest priority and a
conversation of its own, so it holds up no send; one of a conversation and four of an account are under way at a time, so
that triggers that take long leave senders free; an account's polls keep to inbound_per_minute. A failed one is tried again later: a subscription's own list after
twice its interval, then four times, up to an hour; a chat's messages after a minute.

EXEC afil.exchange_poll @now = '2026-01-01';

Returns  0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.exchange_poll @now DATETIME2(3)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @per_minute INT;
    DECLARE @ended TABLE (
        id BIGINT NOT NULL PRIMARY KEY,
        subscription_id BIGINT NOT NULL,
        is_sent BIT NOT NULL,
        error_code NVARCHAR(100) NULL,
        destination NVARCHAR(200) NOT NULL
    );
    DECLARE @account TABLE (
        name NVARCHAR(128) NOT NULL PRIMARY KEY,
        tokens FLOAT NOT NULL,
        room INT NOT NULL
    );
    DECLARE @due TABLE (
        n INT NOT NULL IDENTITY PRIMARY KEY,
        subscription_id BIGINT NOT NULL,
        account NVARCHAR(128) NOT NULL,
        destination NVARCHAR(200) NOT NULL,
        is_chat BIT NOT NULL,
        due_at DATETIME2(3) NOT NULL,
        conversation NVARCHAR(460) NOT NULL,
        place INT NULL
    );

    INSERT INTO @ended (id, subscription_id, is_sent, error_code, destination)
    SELECT TOP (500)
        o.id,
        s.id,
        CASE WHEN o.status = 'sent' THEN 1 ELSE 0 END,
        COALESCE(o.error_code, o.status),
        COALESCE(o.destination, N'')
    FROM afil.subscription AS s
    INNER JOIN afil.outbox AS o ON o.subscription_id = s.id
    WHERE o.subscription_id IS NOT NULL AND o.completed_at IS NOT NULL AND o.completed_at < @now
    ORDER BY o.id;
    IF EXISTS (SELECT 1 FROM @ended)
    BEGIN
        INSERT INTO afil.event_log (logged_at, event, detail)
        SELECT
            @now,
            'poll_failed',
            CONCAT(
                s.account,
                N' ',
                s.platform,
                N' ',
                s.platformid,
                N' ' + NULLIF(e.destination, N''),
                N': ',
                e.error_code
            )
        FROM @ended AS e
        INNER JOIN afil.subscription AS s ON s.id = e.subscription_id
        WHERE e.is_sent = 0
            AND s.failures = 0
            AND e.id = (
                SELECT MIN(f.id) FROM @ended AS f WHERE f.subscription_id = e.subscription_id AND f.is_sent = 0
            );
        UPDATE s
        SET
            last_at = CASE WHEN v.own_is_sent = 1 THEN @now ELSE s.last_at END,
            first_at = CASE WHEN v.own_is_sent = 1 THEN COALESCE(s.first_at, @now) ELSE s.first_at END,
            failures = CASE WHEN v.last_is_sent = 1 THEN 0 ELSE s.failures + 1 END,
            error_code = CASE WHEN v.last_is_sent = 1 THEN NULL ELSE v.error_code END
        FROM afil.subscription AS s
        INNER JOIN (
            SELECT
                l.subscription_id,
                l.is_sent AS last_is_sent,
                l.error_code,
                (
                    SELECT MAX(CAST(f.is_sent AS INT))
                    FROM @ended AS f
                    INNER JOIN afil.subscription AS t ON t.id = f.subscription_id AND t.destination = f.destination
                    WHERE f.subscription_id = l.subscription_id
                ) AS own_is_sent
            FROM @ended AS l
            WHERE l.id = (SELECT MAX(f.id) FROM @ended AS f WHERE f.subscription_id = l.subscription_id)
        ) AS v ON v.subscription_id = s.id;
        UPDATE s
        SET
            due_at = DATEADD(
                SECOND,
                CASE
                    WHEN s.every_seconds > 3600 THEN s.every_seconds
                    WHEN s.every_seconds *
                    POWER(2, CASE WHEN s.failures < 10 THEN s.failures ELSE 10 END) > 3600 THEN 3600
                    ELSE s.every_seconds * POWER(2, CASE WHEN s.failures < 10 THEN s.failures ELSE 10 END)
                END,
                @now
            )
        FROM afil.subscription AS s
        INNER JOIN @ended AS e ON e.subscription_id = s.id AND e.destination = s.destination
        WHERE e.is_sent = 0;
        UPDATE c
        SET poll_at = DATEADD(SECOND, CASE WHEN s.every_seconds > 60 THEN s.every_seconds ELSE 60 END, @now)
        FROM afil.chat AS c
        INNER JOIN afil.subscription AS s
            ON s.account = c.account AND s.platform = c.platform AND s.platformid = c.platformid
        INNER JOIN @ended AS e ON e.subscription_id = s.id AND e.destination = c.destination
        WHERE s.destination = N''
            AND e.destination <> N''
            AND e.is_sent = 0
            AND e.error_code <> N'CHAT_NOT_FOUND'
            AND c.poll_at IS NULL;
        DELETE FROM afil.attempt
        WHERE id IN (SELECT id FROM @ended);
        DELETE FROM afil.response
        WHERE id IN (SELECT id FROM @ended);
        DELETE FROM afil.outbox
        WHERE id IN (SELECT id FROM @ended);
    END;

    SELECT @per_minute = CAST(value AS INT) FROM afil.setting WHERE name = 'inbound_per_minute';
    INSERT INTO @account (name, tokens, room)
    SELECT t.name, CASE WHEN t.tokens < t.burst THEN t.tokens ELSE t.burst END, 4
    FROM (
        SELECT
            v.name,
            b.burst,
            COALESCE(a.poll_tokens, b.burst) +
            @per_minute / 60.0 *
            CASE
                WHEN a.poll_tokens_at IS NULL OR a.poll_tokens_at > @now THEN 0
                WHEN a.poll_tokens_at < DATEADD(HOUR, -1, @now) THEN 3600
                ELSE DATEDIFF(MILLISECOND, a.poll_tokens_at, @now) / 1000.0
            END AS tokens
        FROM (
            SELECT DISTINCT account AS name FROM afil.subscription
        ) AS v
        CROSS APPLY (
            SELECT CASE WHEN @per_minute > 4 THEN @per_minute / 4.0 ELSE 1.0 END AS burst
        ) AS b
        LEFT JOIN afil.account AS a ON a.name = v.name
        WHERE COALESCE(a.held_at, a.tripped_at) IS NULL AND @per_minute > 0
    ) AS t;
    UPDATE @account
    SET
        room = room -
        (
            SELECT COUNT(*)
            FROM afil.subscription AS s
            INNER JOIN afil.outbox AS o ON o.subscription_id = s.id
            WHERE s.account = name AND o.subscription_id IS NOT NULL AND o.completed_at IS NULL
        );

    INSERT INTO @due (subscription_id, account, destination, is_chat, due_at, conversation)
    SELECT s.id, s.account, s.destination, 0, s.due_at, k.conversation
    FROM afil.subscription AS s
    INNER JOIN @account AS a ON a.name = s.account
    CROSS APPLY (
        SELECT
            CAST(
                s.account +
                NCHAR(31) +
                s.platform +
                NCHAR(31) +
                s.platformid +
                NCHAR(31) +
                s.destination +
                NCHAR(31) +
                N'inbound' AS NVARCHAR(460)
            ) AS conversation
    ) AS k
    WHERE s.due_at <= @now
        AND a.tokens >= 1
        AND a.room > 0
        AND NOT EXISTS (
            SELECT 1
            FROM afil.outbox AS o
            WHERE o.conversation = k.conversation AND (o.turn IS NOT NULL OR o.subscription_id IS NOT NULL)
        )
    ORDER BY s.due_at, s.id;
    INSERT INTO @due (subscription_id, account, destination, is_chat, due_at, conversation)
    SELECT TOP (100) s.id, s.account, c.destination, 1, c.poll_at, k.conversation
    FROM afil.chat AS c
    INNER JOIN afil.subscription AS s
        ON s.account = c.account AND s.platform = c.platform AND s.platformid = c.platformid
    INNER JOIN @account AS a ON a.name = s.account
    CROSS APPLY (
        SELECT
            CAST(
                s.account +
                NCHAR(31) +
                s.platform +
                NCHAR(31) +
                s.platformid +
                NCHAR(31) +
                c.destination +
                NCHAR(31) +
                N'inbound' AS NVARCHAR(460)
            ) AS conversation
    ) AS k
    WHERE c.poll_at IS NOT NULL
        AND c.poll_at <= @now
        AND c.destination <> N''
        AND s.destination = N''
        AND a.tokens >= 1
        AND a.room > 0
        AND NOT EXISTS (SELECT 1 FROM @due AS d WHERE d.conversation = k.conversation)
        AND NOT EXISTS (
            SELECT 1
            FROM afil.outbox AS o
            WHERE o.conversation = k.conversation AND (o.turn IS NOT NULL OR o.subscription_id IS NOT NULL)
        )
    ORDER BY c.poll_at, c.destination;

    UPDATE d
    SET place = v.place
    FROM @due AS d
    INNER JOIN (
        SELECT n, ROW_NUMBER() OVER (PARTITION BY account ORDER BY is_chat, due_at, n) AS place FROM @due
    ) AS v ON v.n = d.n;
    DELETE FROM @due
    WHERE NOT EXISTS (SELECT 1 FROM @account AS a WHERE a.name = account AND place <= a.tokens AND place <= a.room);
    IF NOT EXISTS (SELECT 1 FROM @due)
        RETURN 0;

    INSERT INTO afil.outbox (
        request_id,
        account,
        method,
        platform,
        platformid,
        destination,
        priority,
        status,
        turn,
        due_at,
        attempts,
        max_attempts,
        conversation,
        created_at,
        created_by,
        subscription_id
    )
    SELECT TOP (100)
        NEWID(),
        d.account,
        CASE
            WHEN d.destination = N'' THEN 'getchats'
            WHEN s.unread_only = 1 THEN 'getunreadmessages'
            ELSE 'getmessages'
        END,
        s.platform,
        s.platformid,
        NULLIF(d.destination, N''),
        9,
        'queued',
        0,
        @now,
        0,
        1,
        d.conversation,
        @now,
        s.created_by,
        s.id
    FROM @due AS d
    INNER JOIN afil.subscription AS s ON s.id = d.subscription_id
    ORDER BY d.n;
    DELETE FROM @due
    WHERE n NOT IN (SELECT TOP (100) n FROM @due ORDER BY n);

    UPDATE s
    SET due_at = DATEADD(SECOND, s.every_seconds, @now)
    FROM afil.subscription AS s
    INNER JOIN @due AS d ON d.subscription_id = s.id AND d.is_chat = 0;
    UPDATE c
    SET poll_at = NULL
    FROM afil.chat AS c
    INNER JOIN afil.subscription AS s
        ON s.account = c.account AND s.platform = c.platform AND s.platformid = c.platformid
    INNER JOIN @due AS d ON d.subscription_id = s.id AND d.destination = c.destination
    WHERE c.poll_at IS NOT NULL;
    INSERT INTO afil.account (name)
    SELECT a.name FROM @account AS a WHERE NOT EXISTS (SELECT 1 FROM afil.account AS e WHERE e.name = a.name);
    UPDATE e
    SET poll_tokens = a.tokens - (SELECT COUNT(*) FROM @due AS d WHERE d.account = a.name), poll_tokens_at = @now
    FROM afil.account AS e
    INNER JOIN @account AS a ON a.name = e.name;
    RETURN 0;
END;
GO
