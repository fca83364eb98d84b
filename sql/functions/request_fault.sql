SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
What is wrong with a request, in a sentence that names the parameter and what is allowed; NULL when nothing is.
The rules are those of afilsql/api/methods.py; a test holds the two together.

SELECT afil.request_fault('sendmessage', N'sms', N'1', N'2', N'x', NULL, NULL, NULL, N'default', 5, NULL, NULL);

Returns  nvarchar(2000)
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.request_fault (
    @method NVARCHAR(4000),
    @platform NVARCHAR(4000),
    @platformid NVARCHAR(4000),
    @destination NVARCHAR(4000),
    @message NVARCHAR(MAX),
    @type NVARCHAR(4000),
    @fileurl NVARCHAR(4000),
    @thumburl NVARCHAR(4000),
    @account NVARCHAR(4000),
    @priority INT,
    @dedup_key NVARCHAR(4000),
    @max_attempts INT
)
RETURNS NVARCHAR(2000)
AS
BEGIN
    IF @method IS NULL
       OR @method NOT IN ('getchatchannels', 'sendmessage', 'sendfile', 'getchats', 'getmessages', 'getunreadmessages')
        RETURN CONCAT(
            N'@method ''',
            LEFT(@method, 80),
            N''' is not one of getchatchannels, sendmessage, sendfile, getchats, getmessages, getunreadmessages'
        );
    IF @account IS NULL OR LEN(@account) NOT BETWEEN 1 AND 128
        RETURN N'@account must be the name of an account, 1 to 128 characters long';
    IF @priority IS NULL OR @priority NOT BETWEEN 0 AND 9
        RETURN CONCAT(N'@priority ', @priority, N' is not between 0 (first) and 9 (last)');
    IF @dedup_key IS NOT NULL AND LEN(@dedup_key) NOT BETWEEN 1 AND 200
        RETURN N'@dedup_key must be 1 to 200 characters long, or NULL';
    IF @max_attempts NOT BETWEEN 1 AND 100
        RETURN CONCAT(N'@max_attempts ', @max_attempts, N' is not between 1 and 100');
    IF @method = 'getchatchannels'
        RETURN NULL;

    IF COALESCE(LTRIM(@platform), N'') = N''
        RETURN N'@platform is missing: use webchat, whatsapp, telegram or operator';
    IF @platform NOT IN (N'webchat', N'whatsapp', N'telegram', N'operator')
        RETURN CONCAT(N'@platform ''', LEFT(@platform, 80), N''' is not one of webchat, whatsapp, telegram, operator');
    IF COALESCE(LTRIM(@platformid), N'') = N''
        RETURN N'@platformid is missing: give the id of the channel, which afil.get_chat_channels lists';
    IF LEN(@platformid) > 100
        RETURN CONCAT(N'@platformid is ', LEN(@platformid), N' characters long; at most 100 are allowed');
    IF @method = 'getchats'
        RETURN NULL;

    IF COALESCE(LTRIM(@destination), N'') = N''
        RETURN N'@destination is missing: give the recipient, for WhatsApp the number with its country code';
    IF LEN(@destination) > 200
        RETURN CONCAT(N'@destination is ', LEN(@destination), N' characters long; at most 200 are allowed');
    IF @method = 'sendmessage' AND COALESCE(LTRIM(@message), N'') = N''
        RETURN N'@message is missing: give the text to send';
    IF LEN(CONCAT(@message, N'.')) - 1 > 1048576 /* LEN alone would not count trailing spaces */
        RETURN CONCAT(N'@message is ', LEN(@message), N' characters long; at most 1048576 are allowed');
    IF @method <> 'sendfile'
        RETURN NULL;

    IF COALESCE(LTRIM(@type), N'') = N''
        RETURN N'@type is missing: use image, video, audio, voice, document or contact';
    IF @type NOT IN (N'image', N'video', N'audio', N'voice', N'document', N'contact')
        RETURN CONCAT(N'@type ''', LEFT(@type, 80), N''' is not one of image, video, audio, voice, document, contact');
    IF COALESCE(LTRIM(@fileurl), N'') = N''
        RETURN N'@fileurl is missing: give the http:// or https:// URL of the file';
    IF LEN(@fileurl) > 2000
        RETURN CONCAT(N'@fileurl is ', LEN(@fileurl), N' characters long; at most 2000 are allowed');
    IF @fileurl NOT LIKE N'http://%' AND @fileurl NOT LIKE N'https://%'
        RETURN CONCAT(N'@fileurl ''', LEFT(@fileurl, 80), N''' is not a URL: it starts with http:// or https://');
    IF LEN(@thumburl) > 2000
        RETURN CONCAT(N'@thumburl is ', LEN(@thumburl), N' characters long; at most 2000 are allowed');
    IF @thumburl <> N'' AND @thumburl NOT LIKE N'http://%' AND @thumburl NOT LIKE N'https://%'
        RETURN CONCAT(N'@thumburl ''', LEFT(@thumburl, 80), N''' is not a URL: it starts with http:// or https://');
    RETURN NULL;
END;
GO
