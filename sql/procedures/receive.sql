SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Keep the list that a call brought, as rows of chat_channel, chat or chat_message, before its result is handed in. A row
that is there and says the same is left alone, so the same answer twice changes nothing.

A transaction of its own, outside afil.exchange: triggers on chat_message are other people's, and one that is slow or
fails holds up no send. Two lists of one channel's chats, or of one conversation, take turns. Messages are inserted first, so that a slow trigger holds
nothing but them.

Messages are inserted in the order of their times. is_new is 1 of those that came after the first look at their
conversation; a chat that was there when its channel's subscription began (is_backlog) begins with history.

EXEC afil.receive
    @id = 1,
    @lease_id = '11111111-2222-3333-4444-555555555555',
    @attempt = 1,
    @list = 'messages',
    @rows = N'[]';

Returns  a row: received bit, 0 when the lease had passed to another and nothing was kept; 0
Errors   51001 a parameter is not allowed; 51010 another answer to the same has been at it for ten seconds; whatever a
         trigger on the tables raises
Grants   afil_worker
*/
CREATE OR ALTER PROCEDURE afil.receive
    @id BIGINT,
    @lease_id UNIQUEIDENTIFIER,
    @attempt INT,
    @list VARCHAR(10), /* channels, chats, messages */
    @rows NVARCHAR(MAX) /* [{"platform", "platformid", …: the API's fields, "sent": 0 or 1, "dated_at": UTC}, …] */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    DECLARE
        @now DATETIME2(3),
        @account NVARCHAR(128),
        @platform NVARCHAR(20),
        @platformid NVARCHAR(100),
        @destination NVARCHAR(200),
        @subscription_id BIGINT,
        @turn NVARCHAR(400);

    IF @list IS NULL OR @list NOT IN ('channels', 'chats', 'messages')
        THROW 51001, '@list is not channels, chats or messages', 1;
    IF @rows IS NULL OR ISJSON(@rows) = 0
        THROW 51001, '@rows must be a JSON array', 1;

    BEGIN TRY
        BEGIN TRANSACTION;
        SELECT
            @account = account,
            @platform = platform,
            @platformid = platformid,
            @destination = destination,
            @subscription_id = subscription_id
        FROM afil.outbox
        WHERE id = @id AND status = 'sending' AND lease_id = @lease_id AND attempts = @attempt;
        IF @account IS NOT NULL
        BEGIN
            SET @turn = CONCAT(
                    N'receive.',
                    @account,
                    N'.',
                    @platform,
                    N'.',
                    @platformid,
                    CASE WHEN @list = 'messages' THEN N'.' + @destination END
                );
            EXEC afil.lock_name @name = @turn;
            SET @now = SYSUTCDATETIME();
            IF @list = 'channels'
                EXEC afil.receive_channels @account = @account, @rows = @rows, @now = @now;
            IF @list = 'chats'
                EXEC afil.receive_chats
                    @account = @account,
                    @platform = @platform,
                    @platformid = @platformid,
                    @rows = @rows,
                    @now = @now;
            IF @list = 'messages'
                EXEC afil.receive_messages
                    @account = @account,
                    @platform = @platform,
                    @platformid = @platformid,
                    @destination = @destination,
                    @subscription_id = @subscription_id,
                    @rows = @rows,
                    @now = @now;
        END;
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;
    SELECT CAST(CASE WHEN @account IS NULL THEN 0 ELSE 1 END AS BIT) AS received;
    RETURN 0;
END;
GO
