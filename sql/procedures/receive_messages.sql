SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Keep the messages of one conversation, and the API's word on those of our own that are recognized among them. Part of
afil.receive, inside its transaction.

New ones are inserted in the order of their times where all have one, else in that of the list. Triggers on
afil.chat_message run here.

EXEC afil.receive_messages
    @account = N'example',
    @platform = N'whatsapp',
    @platformid = N'100',
    @destination = N'346',
    @subscription_id = NULL,
    @rows = N'[]',
    @now = '2026-01-01';

Returns  0
Errors   whatever a trigger on afil.chat_message raises
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.receive_messages
    @account NVARCHAR(128),
    @platform NVARCHAR(20), /* of the conversation that was asked for */
    @platformid NVARCHAR(100),
    @destination NVARCHAR(200),
    @subscription_id BIGINT, /* NULL when no subscription asked */
    @rows NVARCHAR(MAX),
    @now DATETIME2(3)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @is_new BIT = 0, @undated INT, @newest_first BIT = 0;
    DECLARE @row TABLE (
        n INT NOT NULL PRIMARY KEY,
        platform NVARCHAR(20) NOT NULL,
        platformid NVARCHAR(100) NOT NULL,
        destination NVARCHAR(200) NOT NULL,
        message NVARCHAR(MAX) NULL,
        messageid NVARCHAR(100) NULL,
        sent BIT NULL,
        status NVARCHAR(50) NULL,
        datetime NVARCHAR(50) NULL,
        dated_at DATETIME2(3) NULL
    );
    INSERT INTO @row (n, platform, platformid, destination, message, messageid, sent, status, datetime, dated_at)
    SELECT n, platform, platformid, destination, message, messageid, sent, status, datetime, dated_at
    FROM afil.received_rows(@rows);
    DELETE FROM @row
    WHERE messageid IS NOT NULL
        AND n NOT IN (SELECT MAX(n) FROM @row WHERE messageid IS NOT NULL GROUP BY platform, platformid, messageid);

    IF EXISTS (
           SELECT 1
           FROM afil.chat_message
           WHERE account = @account AND platform = @platform AND platformid = @platformid AND destination = @destination
       )
       OR EXISTS (
           SELECT 1
           FROM afil.subscription
           WHERE id = @subscription_id AND destination = @destination AND first_at IS NOT NULL
       )
       OR (
           EXISTS (SELECT 1 FROM afil.subscription WHERE id = @subscription_id AND destination = N'')
           AND EXISTS (
               SELECT 1
               FROM afil.chat
               WHERE account = @account
                   AND platform = @platform
                   AND platformid = @platformid
                   AND destination = @destination
                   AND is_backlog = 0
           )
       )
        SET @is_new = 1;

    SELECT @undated = COUNT(*) FROM @row WHERE dated_at IS NULL;
    SELECT @newest_first = 1
    FROM @row AS f
    INNER JOIN @row AS l ON l.dated_at < f.dated_at
    WHERE @undated = 0 AND f.n = (SELECT MIN(n) FROM @row) AND l.n = (SELECT MAX(n) FROM @row);

    INSERT INTO afil.chat_message (
        account,
        platform,
        platformid,
        destination,
        message,
        messageid,
        sent,
        status,
        datetime,
        dated_at,
        updated_at,
        seen_at,
        is_new
    )
    SELECT
        @account,
        r.platform,
        r.platformid,
        r.destination,
        r.message,
        r.messageid,
        r.sent,
        r.status,
        r.datetime,
        r.dated_at,
        @now,
        @now,
        @is_new
    FROM @row AS r
    WHERE NOT EXISTS (
            SELECT 1
            FROM afil.chat_message AS c
            WHERE c.account = @account
                AND c.platform = r.platform
                AND c.platformid = r.platformid
                AND c.messageid = r.messageid
                AND c.messageid IS NOT NULL
        )
        AND NOT EXISTS (
            SELECT 1
            FROM afil.chat_message AS c
            WHERE r.messageid IS NULL
                AND c.messageid IS NULL
                AND c.account = @account
                AND c.platform = r.platform
                AND c.platformid = r.platformid
                AND c.destination = r.destination
                AND COALESCE(c.datetime, N'') = COALESCE(r.datetime, N'')
                AND COALESCE(c.message, N'') = COALESCE(r.message, N'')
        )
    ORDER BY CASE WHEN @undated = 0 THEN r.dated_at END, CASE WHEN @newest_first = 1 THEN -r.n ELSE r.n END;

    UPDATE c
    SET
        destination = r.destination,
        message = r.message,
        sent = r.sent,
        status = r.status,
        datetime = r.datetime,
        dated_at = r.dated_at,
        updated_at = @now
    FROM afil.chat_message AS c
    INNER JOIN @row AS r ON r.platform = c.platform AND r.platformid = c.platformid AND r.messageid = c.messageid
    WHERE c.account = @account
        AND c.messageid IS NOT NULL
        AND EXISTS (
            SELECT r.destination, r.message, r.sent, r.status, r.datetime
            EXCEPT
            SELECT c.destination, c.message, c.sent, c.status, c.datetime
        );

    EXEC afil.recognize_sends
        @account = @account,
        @platform = @platform,
        @platformid = @platformid,
        @destination = @destination;
    UPDATE afil.chat
    SET is_backlog = 0
    WHERE account = @account
        AND platform = @platform
        AND platformid = @platformid
        AND destination = @destination
        AND is_backlog = 1;

    /* Its latest message is listed of the channel, but not of the chat yet: ask once more, while that is recent. */
    UPDATE c
    SET poll_at = DATEADD(SECOND, 15, @now)
    FROM afil.chat AS c
    WHERE c.account = @account
        AND c.platform = @platform
        AND c.platformid = @platformid
        AND c.destination = @destination
        AND c.poll_at IS NULL
        AND c.updated_at > DATEADD(MINUTE, -10, @now)
        AND c.messageid IS NOT NULL
        AND EXISTS (
            SELECT 1
            FROM afil.subscription AS s
            WHERE s.id = @subscription_id AND s.destination = N'' AND s.unread_only = 0
        )
        AND NOT EXISTS (
            SELECT 1
            FROM afil.chat_message AS m
            WHERE m.account = @account
                AND m.platform = @platform
                AND m.platformid = @platformid
                AND m.messageid = c.messageid
                AND m.messageid IS NOT NULL
        );
    RETURN 0;
END;
GO
