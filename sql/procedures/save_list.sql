SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Keep the list of one answer as rows of chat_channel, chat or chat_message; the same answer twice changes nothing
but updated_at. Part of afil.exchange, inside its transaction.

EXEC afil.save_list @list = 'channels', @account = N'example', @now = '2026-01-01',
    @rows = N'[{"platform": "whatsapp", "platformid": "100", "name": "Shop"}]';

Returns  0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.save_list
    @list VARCHAR(10),
    @account NVARCHAR(128),
    @now DATETIME2(3),
    @rows NVARCHAR(MAX)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @row TABLE (
        n INT NOT NULL PRIMARY KEY IDENTITY,
        platform NVARCHAR(20) NULL,
        platformid NVARCHAR(100) NULL,
        destination NVARCHAR(200) NULL,
        name NVARCHAR(400) NULL,
        message NVARCHAR(MAX) NULL,
        messageid NVARCHAR(100) NULL,
        sent BIT NULL,
        status NVARCHAR(50) NULL,
        datetime NVARCHAR(50) NULL
    );
    INSERT INTO @row (platform, platformid, destination, name, message, messageid, sent, status, datetime)
    SELECT
        COALESCE(LEFT(afil.json_text(platform), 20), N''),
        COALESCE(LEFT(afil.json_text(platformid), 100), N''),
        COALESCE(LEFT(afil.json_text(destination), 200), N''),
        LEFT(afil.json_text(name), 400),
        afil.json_text((SELECT k.value FROM OPENJSON(j.value) AS k WHERE k.[key] = N'message')),
        LEFT(afil.json_text(messageid), 100),
        sent,
        LEFT(afil.json_text(status), 50),
        LEFT(afil.json_text(datetime), 50)
    FROM OPENJSON(@rows) AS j
    CROSS APPLY OPENJSON(j.value) WITH (
        platform NVARCHAR(4000),
        platformid NVARCHAR(4000),
        destination NVARCHAR(4000),
        name NVARCHAR(4000),
        messageid NVARCHAR(4000),
        sent BIT,
        status NVARCHAR(4000),
        datetime NVARCHAR(4000)
    ) AS v;
    IF @list = 'channels'
    BEGIN
        DELETE FROM @row
        WHERE n NOT IN (SELECT MAX(n) FROM @row GROUP BY platform, platformid);
        UPDATE c
        SET name = r.name, updated_at = @now
        FROM afil.chat_channel AS c
        INNER JOIN @row AS r ON r.platform = c.platform AND r.platformid = c.platformid
        WHERE c.account = @account;
        INSERT INTO afil.chat_channel (account, platform, platformid, name, updated_at)
        SELECT @account, r.platform, r.platformid, r.name, @now
        FROM @row AS r
        WHERE NOT EXISTS (
                SELECT 1
                FROM afil.chat_channel AS c
                WHERE c.account = @account AND c.platform = r.platform AND c.platformid = r.platformid
            );
    END;
    ELSE IF @list = 'chats'
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
            updated_at = @now
        FROM afil.chat AS c
        INNER JOIN @row AS r
            ON r.platform = c.platform AND r.platformid = c.platformid AND r.destination = c.destination
        WHERE c.account = @account;
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
    END;
    ELSE IF @list = 'messages'
    BEGIN
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
            updated_at = @now
        FROM afil.chat_message AS c
        INNER JOIN @row AS r ON r.platform = c.platform AND r.platformid = c.platformid AND r.messageid = c.messageid
        WHERE c.account = @account;
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
    END;
    RETURN 0;
END;
GO
