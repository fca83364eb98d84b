SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Write the API's id and word on messages of our own to their requests (messageid, delivery_status). Part of afil.receive,
inside its transaction.

A request and a message belong together when the text is the same but for line ends and outer space, the message's time
lies around the try (two minutes on either side), and neither has another match. A pair that becomes ambiguous later is
taken back: what cannot be told apart is not guessed. Looked at are the latest 200 sends of the conversation.

EXEC afil.recognize_sends @account = N'example', @platform = N'whatsapp', @platformid = N'100', @destination = N'346';

Returns  0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.recognize_sends
    @account NVARCHAR(128),
    @platform NVARCHAR(20),
    @platformid NVARCHAR(100),
    @destination NVARCHAR(200)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE
        @conversation NVARCHAR(460) = LEFT(
            @account + NCHAR(31) + @platform + NCHAR(31) + @platformid + NCHAR(31) + @destination,
            460
        );
    DECLARE @send TABLE (
        id BIGINT NOT NULL PRIMARY KEY,
        text NVARCHAR(MAX) NULL,
        since DATETIME2(3) NOT NULL,
        until DATETIME2(3) NOT NULL,
        messageid NVARCHAR(100) NULL
    );
    DECLARE @message TABLE (
        messageid NVARCHAR(100) NOT NULL PRIMARY KEY,
        text NVARCHAR(MAX) NULL,
        dated_at DATETIME2(3) NOT NULL,
        status NVARCHAR(50) NULL,
        owner_id BIGINT NULL
    );
    DECLARE @pair TABLE (
        id BIGINT NOT NULL,
        messageid NVARCHAR(100) NOT NULL
    );

    INSERT INTO @send (id, text, since, until, messageid)
    SELECT
        s.id,
        TRIM(
            NCHAR(9) + NCHAR(10) + NCHAR(13) + N' ' FROM REPLACE(
                REPLACE(COALESCE(NULLIF(s.message, N''), s.fileurl), NCHAR(13) + NCHAR(10), NCHAR(10)),
                NCHAR(13),
                NCHAR(10)
            )
        ),
        DATEADD(SECOND, -120, COALESCE(s.taken_at, s.completed_at)),
        DATEADD(SECOND, 120, s.completed_at),
        s.messageid
    FROM (
        SELECT TOP (200) id, message, fileurl, taken_at, completed_at, messageid
        FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
        WHERE conversation = @conversation
            AND turn IS NULL
            AND status = 'sent'
            AND method IN ('sendmessage', 'sendfile')
            AND completed_at IS NOT NULL
        ORDER BY id DESC
    ) AS s;
    IF NOT EXISTS (SELECT 1 FROM @send)
        RETURN 0;

    INSERT INTO @message (messageid, text, dated_at, status, owner_id)
    SELECT
        m.messageid,
        TRIM(
            NCHAR(9) + NCHAR(10) + NCHAR(13) + N' ' FROM REPLACE(
                REPLACE(m.message, NCHAR(13) + NCHAR(10), NCHAR(10)),
                NCHAR(13),
                NCHAR(10)
            )
        ),
        m.dated_at,
        m.status,
        (
            SELECT MIN(o.id)
            FROM afil.outbox AS o
            WHERE o.conversation = @conversation AND o.messageid = m.messageid AND o.messageid IS NOT NULL
        )
    FROM afil.chat_message AS m
    WHERE m.account = @account
        AND m.platform = @platform
        AND m.platformid = @platformid
        AND m.destination = @destination
        AND m.sent = 1
        AND m.messageid IS NOT NULL
        AND m.dated_at >= (SELECT MIN(since) FROM @send);

    INSERT INTO @pair (id, messageid)
    SELECT s.id, m.messageid
    FROM @send AS s
    INNER JOIN @message AS m
        ON m.text COLLATE Latin1_General_BIN2 = s.text COLLATE Latin1_General_BIN2
            AND m.dated_at >= s.since
            AND m.dated_at <= s.until
    WHERE (m.owner_id IS NULL OR m.owner_id = s.id);

    /* Taken back: another message that nobody owns matches as well. */
    UPDATE o
    SET messageid = NULL, delivery_status = NULL
    FROM afil.outbox AS o WITH (FORCESEEK)
    INNER JOIN @send AS s ON s.id = o.id
    WHERE s.messageid IS NOT NULL
        AND EXISTS (SELECT 1 FROM @pair AS p WHERE p.id = s.id AND p.messageid <> s.messageid);

    UPDATE o
    SET messageid = p.messageid, delivery_status = m.status
    FROM afil.outbox AS o WITH (FORCESEEK)
    INNER JOIN @pair AS p ON p.id = o.id
    INNER JOIN @message AS m ON m.messageid = p.messageid
    WHERE (SELECT COUNT(*) FROM @pair AS x WHERE x.id = p.id) = 1
        AND (SELECT COUNT(*) FROM @pair AS x WHERE x.messageid = p.messageid) = 1
        AND (
            o.messageid IS NULL
            OR o.delivery_status <> m.status
            OR (o.delivery_status IS NULL AND m.status IS NOT NULL)
            OR (o.delivery_status IS NOT NULL AND m.status IS NULL)
        );

    /* Of sends longer ago than these 200, or whose text the API has changed since, the id says enough. */
    UPDATE o
    SET delivery_status = m.status
    FROM @message AS m
    INNER JOIN afil.outbox AS o ON o.conversation = @conversation AND o.messageid = m.messageid
    WHERE o.messageid IS NOT NULL
        AND (
            o.delivery_status <> m.status
            OR (o.delivery_status IS NULL AND m.status IS NOT NULL)
            OR (o.delivery_status IS NOT NULL AND m.status IS NULL)
        );
    RETURN 0;
END;
GO
