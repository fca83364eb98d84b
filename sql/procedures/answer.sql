SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
What has become of one of your own requests, with its answer as rows. afil.channels_of, chats_of and messages_of show
readers the same of anybody's.

EXEC afil.answer @id = 12;

Returns  a row: id, status, error_code, http_status; then, where the request was sent and its answer holds a list, the rows
         of afil.channels_of, chats_of or messages_of; 0 sent, 1 failed, 2 uncertain, 3 cancelled, 4 not answered yet
         (also while an uncertain one is to be read back)
Errors   51002 you have no such request
Grants   afil_sender, afil_operator
*/
CREATE OR ALTER PROCEDURE afil.answer @id BIGINT
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @status VARCHAR(10), @method VARCHAR(20), @completed_at DATETIME2(3), @fault NVARCHAR(2000);
    SELECT @status = status, @method = method, @completed_at = completed_at
    FROM afil.outbox
    WHERE id = @id AND created_by = SUSER_SNAME();
    IF @status IS NULL
    BEGIN
        SET @fault = CONCAT(N'you have no request ', @id, N': afil.my_items lists yours');
        THROW 51002, @fault, 1;
    END;
    SELECT id, status, error_code, http_status FROM afil.outbox WHERE id = @id;
    IF @status = 'sent' AND @method = 'getchatchannels'
        SELECT platform, platformid, name FROM afil.channels_of(@id) ORDER BY n;
    IF @status = 'sent' AND @method = 'getchats'
        SELECT platform, platformid, destination, message, messageid, sent, status, datetime, dated_at
        FROM afil.chats_of(@id)
        ORDER BY n;
    IF @status = 'sent' AND @method IN ('getmessages', 'getunreadmessages')
        SELECT platform, platformid, destination, message, messageid, sent, status, datetime, dated_at
        FROM afil.messages_of(@id)
        ORDER BY n;
    RETURN CASE @status
        WHEN 'sent' THEN 0
        WHEN 'failed' THEN 1
        WHEN 'uncertain' THEN CASE WHEN @completed_at IS NULL THEN 4 ELSE 2 END
        WHEN 'cancelled' THEN 3
        ELSE 4
    END;
END;
GO
