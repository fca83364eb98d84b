SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Keep chats, and have a subscription ask for the messages of those that changed (poll_at). Part of afil.receive, inside
its transaction. The first answer to a subscription has all of them asked for, as backlog.

EXEC afil.receive_chats @account = N'example', @platform = N'whatsapp', @platformid = N'100', @rows = N'[]', @now = '2026-01-01';

Returns  0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.receive_chats
    @account NVARCHAR(128),
    @platform NVARCHAR(20), /* of the channel that was asked for */
    @platformid NVARCHAR(100),
    @rows NVARCHAR(MAX),
    @now DATETIME2(3)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @is_subscribed BIT = 0, @is_first BIT = 0;
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
    WHERE n NOT IN (SELECT MAX(n) FROM @row GROUP BY platform, platformid, destination);
    SELECT @is_subscribed = 1, @is_first = CASE WHEN first_at IS NULL THEN 1 ELSE 0 END
    FROM afil.subscription
    WHERE account = @account AND platform = @platform AND platformid = @platformid AND destination = N'';

    UPDATE c
    SET
        message = r.message,
        messageid = r.messageid,
        sent = r.sent,
        status = r.status,
        datetime = r.datetime,
        dated_at = r.dated_at,
        updated_at = @now,
        poll_at = CASE WHEN @is_subscribed = 0 OR c.poll_at < @now THEN c.poll_at ELSE @now END
    FROM afil.chat AS c
    INNER JOIN @row AS r ON r.platform = c.platform AND r.platformid = c.platformid AND r.destination = c.destination
    WHERE c.account = @account
        AND EXISTS (
            SELECT r.message, r.messageid, r.sent, r.status, r.datetime
            EXCEPT
            SELECT c.message, c.messageid, c.sent, c.status, c.datetime
        );
    INSERT INTO afil.chat (
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
        poll_at,
        is_backlog
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
        CASE WHEN @is_subscribed = 1 THEN @now END,
        0
    FROM @row AS r
    WHERE NOT EXISTS (
            SELECT 1
            FROM afil.chat AS c
            WHERE c.account = @account
                AND c.platform = r.platform
                AND c.platformid = r.platformid
                AND c.destination = r.destination
        );
    IF @is_first = 1
        UPDATE c
        SET
            poll_at = CASE WHEN c.poll_at < @now THEN c.poll_at ELSE @now END,
            is_backlog = CASE
                WHEN EXISTS (
                    SELECT 1
                    FROM afil.chat_message AS m
                    WHERE m.account = @account
                        AND m.platform = c.platform
                        AND m.platformid = c.platformid
                        AND m.destination = c.destination
                ) THEN 0
                ELSE 1
            END
        FROM afil.chat AS c
        INNER JOIN @row AS r
            ON r.platform = c.platform AND r.platformid = c.platformid AND r.destination = c.destination
        WHERE c.account = @account;
    RETURN 0;
END;
GO
