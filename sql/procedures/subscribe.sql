SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Have a channel asked for its chats again and again, and for the messages of those that changed; or one chat for its
messages. They land in afil.chats and afil.chat_messages, and fire triggers of yours on afil.chat_message. Doing it again
changes the interval.

The requests have the lowest priority and keep to inbound_per_minute for each account. What was in a conversation before
the first look has is_new = 0.

EXEC afil.subscribe @platform = N'whatsapp', @platformid = N'100', @every_seconds = 30;

Returns  @id OUTPUT; 0
Errors   51001 a parameter is missing, too long or not allowed; 51010 another session is at the same
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.subscribe
    @platform NVARCHAR(4000),
    @platformid NVARCHAR(4000),
    @destination NVARCHAR(4000) = NULL, /* NULL is the whole channel */
    @every_seconds INT = 30, /* 5 to 86400 */
    @account NVARCHAR(4000) = N'default',
    @unread_only BIT = 0, /* 1 asks with getunreadmessages in place of getmessages */
    @id BIGINT = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @fault NVARCHAR(2000), @now DATETIME2(3) = SYSUTCDATETIME();
    SET @destination = NULLIF(@destination, N'');
    SELECT @fault = fault, @platform = platform
    FROM afil.request_check(
        CASE WHEN @destination IS NULL THEN N'getchats' ELSE N'getmessages' END,
        @platform,
        @platformid,
        @destination,
        NULL,
        NULL,
        NULL,
        NULL,
        @account,
        9,
        NULL,
        NULL
    );
    IF @fault IS NOT NULL
        THROW 51001, @fault, 1;
    IF @every_seconds IS NULL OR @every_seconds NOT BETWEEN 5 AND 86400
        THROW 51001, '@every_seconds is not between 5 and 86400 seconds (a day)', 1;

    BEGIN TRY
        BEGIN TRANSACTION;
        EXEC afil.lock_name @name = N'subscribe';
        UPDATE afil.subscription
        SET every_seconds = @every_seconds, unread_only = COALESCE(@unread_only, 0), due_at = @now
        WHERE account = @account
            AND platform = @platform
            AND platformid = @platformid
            AND destination = COALESCE(@destination, N'');
        IF @@ROWCOUNT = 0
            INSERT INTO afil.subscription (
                account,
                platform,
                platformid,
                destination,
                every_seconds,
                unread_only,
                due_at,
                failures,
                created_at,
                created_by
            )
            VALUES (
                @account,
                @platform,
                @platformid,
                COALESCE(@destination, N''),
                @every_seconds,
                COALESCE(@unread_only, 0),
                @now,
                0,
                @now,
                SUSER_SNAME()
            );
        SELECT @id = id
        FROM afil.subscription
        WHERE account = @account
            AND platform = @platform
            AND platformid = @platformid
            AND destination = COALESCE(@destination, N'');
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;
    RETURN 0;
END;
GO
