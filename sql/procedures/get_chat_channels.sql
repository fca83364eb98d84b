SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Ask for the account's channels; afil.chat_channels shows them when the worker has the answer.

EXEC afil.get_chat_channels;

Returns  @id OUTPUT; 0
Errors   51001 a parameter is missing, too long or not allowed; 51005 the sender's quota is used up
Grants   afil_sender
*/
CREATE OR ALTER PROCEDURE afil.get_chat_channels
    @account NVARCHAR(4000) = N'default', /* name of an account in the worker's settings */
    @priority INT = 5, /* 0 first … 9 last */
    @send_at DATETIME2(3) = NULL, /* UTC; not before this time */
    @dedup_key NVARCHAR(4000) = NULL, /* a second request with the same account and key is not written */
    @id BIGINT = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT ON; /* XACT_ABORT stays as the caller has it, see afil.enqueue */
    EXEC afil.enqueue
        @method = 'getchatchannels',
        @account = @account,
        @priority = @priority,
        @send_at = @send_at,
        @dedup_key = @dedup_key,
        @id = @id OUTPUT;
    RETURN 0;
END;
GO
