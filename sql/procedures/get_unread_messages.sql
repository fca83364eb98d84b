SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Ask for the unread messages of a chat; afil.chat_messages shows them when the worker has the answer.

EXEC afil.get_unread_messages @platform = 'whatsapp', @platformid = '100', @destination = '34600000000';

Returns  @id OUTPUT; 0. With @wait_ms a row (id, status, error_code, http_status), where the answer holds a list its rows,
         and 0 sent, 1 failed, 2 uncertain, 3 cancelled, 4 not answered in time (it stays queued)
Errors   51001 a parameter is missing, too long or not allowed; 51004 @wait_ms inside a transaction, or on an engine without
         WAITFOR; 51005 the sender's quota is used up
Grants   afil_sender
*/
CREATE OR ALTER PROCEDURE afil.get_unread_messages
    @platform NVARCHAR(4000) = NULL, /* webchat, whatsapp, telegram, operator */
    @platformid NVARCHAR(4000) = NULL, /* id of the channel */
    @destination NVARCHAR(4000) = NULL, /* recipient */
    @account NVARCHAR(4000) = N'default', /* name of an account in the worker's settings */
    @priority INT = 5, /* 0 first … 9 last */
    @send_at DATETIME2(3) = NULL, /* UTC; not before this time */
    @dedup_key NVARCHAR(4000) = NULL, /* a second request with the same account and key is not written */
    @wait_ms INT = NULL, /* wait this long for the answer and return it; not inside a transaction */
    @traceparent NVARCHAR(4000) = NULL, /* W3C trace context of the caller: the worker's spans join its trace */
    @id BIGINT = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT ON; /* XACT_ABORT stays as the caller has it, see afil.enqueue */
    DECLARE @code INT;
    EXEC @code = afil.enqueue
        @method = 'getunreadmessages',
        @platform = @platform,
        @platformid = @platformid,
        @destination = @destination,
        @account = @account,
        @priority = @priority,
        @send_at = @send_at,
        @dedup_key = @dedup_key,
        @wait_ms = @wait_ms,
        @traceparent = @traceparent,
        @id = @id OUTPUT;
    RETURN @code;
END;
GO
