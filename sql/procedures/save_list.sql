SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Keep the list in the answer to one request as rows of chat_channel, chat or chat_message. A row that is there and says
the same is left alone, so the same answer twice changes nothing. Part of afil.exchange, inside its transaction.

EXEC afil.save_list @id = 1, @list = 'channels', @account = N'example', @now = '2026-01-01';

Returns  0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.save_list
    @id BIGINT,
    @list VARCHAR(10), /* channels, chats, messages */
    @account NVARCHAR(128),
    @now DATETIME2(3)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @row TABLE (
        n INT NOT NULL PRIMARY KEY,
        platform NVARCHAR(20) NOT NULL,
        platformid NVARCHAR(100) NOT NULL,
        destination NVARCHAR(200) NOT NULL,
        name NVARCHAR(400) NULL,
        message NVARCHAR(MAX) NULL,
        messageid NVARCHAR(100) NULL,
        sent BIT NULL,
        status NVARCHAR(50) NULL,
        datetime NVARCHAR(50) NULL,
        dated_at DATETIME2(3) NULL
    );

    IF @list = 'channels'
    BEGIN
        INSERT INTO @row (n, platform, platformid, destination, name)
        SELECT n, COALESCE(platform, N''), COALESCE(platformid, N''), N'', name FROM afil.channels_of(@id);
        DELETE FROM @row
        WHERE n NOT IN (SELECT MAX(n) FROM @row GROUP BY platform, platformid);
        UPDATE c
        SET name = r.name, updated_at = @now
        FROM afil.chat_channel AS c
        INNER JOIN @row AS r ON r.platform = c.platform AND r.platformid = c.platformid
        WHERE c.account = @account AND COALESCE(c.name, N'') <> COALESCE(r.name, N'');
        INSERT INTO afil.chat_channel (account, platform, platformid, name, updated_at)
        SELECT @account, r.platform, r.platformid, r.name, @now
        FROM @row AS r
        WHERE NOT EXISTS (
                SELECT 1
                FROM afil.chat_channel AS c
                WHERE c.account = @account AND c.platform = r.platform AND c.platformid = r.platformid
            );
        RETURN 0;
    END;

    INSERT INTO @row (n, platform, platformid, destination, message, messageid, sent, status, datetime, dated_at)
    SELECT
        n,
        COALESCE(platform, N''),
        COALESCE(platformid, N''),
        COALESCE(destination, N''),
        message,
        messageid,
        sent,
        status,
        datetime,
        dated_at
    FROM afil.messages_of(@id);

    IF @list = 'chats'
    BEGIN
        DELETE FROM @row
        WHERE n NOT IN (SELECT MAX(n) FROM @row GROUP BY platform, platformid, destination);
        UPDATE c
        SET
            message = r.message,
            messageid = r.messageid,
            sent = r.sent,
            status = r.status,
            datetime = r.datetime,
            dated_at = r.dated_at,
            updated_at = @now
        FROM afil.chat AS c
        INNER JOIN @row AS r
            ON r.platform = c.platform AND r.platformid = c.platformid AND r.destination = c.destination
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
            updated_at
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
            @now
        FROM @row AS r
        WHERE NOT EXISTS (
                SELECT 1
                FROM afil.chat AS c
                WHERE c.account = @account
                    AND c.platform = r.platform
                    AND c.platformid = r.platformid
                    AND c.destination = r.destination
            );
        RETURN 0;
    END;

    DELETE FROM @row
    WHERE messageid IS NOT NULL
        AND n NOT IN (SELECT MAX(n) FROM @row WHERE messageid IS NOT NULL GROUP BY platform, platformid, messageid);
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
        AND EXISTS (
            SELECT r.destination, r.message, r.sent, r.status, r.datetime
            EXCEPT
            SELECT c.destination, c.message, c.sent, c.status, c.datetime
        );
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
        updated_at
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
        @now
    FROM @row AS r
    WHERE NOT EXISTS (
            SELECT 1
            FROM afil.chat_message AS c
            WHERE c.account = @account
                AND c.platform = r.platform
                AND c.platformid = r.platformid
                AND (
                    c.messageid = r.messageid
                    OR (
                        r.messageid IS NULL
                        AND c.messageid IS NULL
                        AND c.destination = r.destination
                        AND COALESCE(c.datetime, N'') = COALESCE(r.datetime, N'')
                        AND COALESCE(c.message, N'') = COALESCE(r.message, N'')
                    )
                )
        )
    ORDER BY r.n;
    RETURN 0;
END;
GO
