SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
What is wrong with a request, in a sentence that names the parameter and what is allowed, NULL when nothing is. With it
come the words of the contract in its own spelling, for a database's collation may let 'WhatsApp' pass, and the key
under which requests keep their order: account, platform, platformid and destination, joined by U+001F.

The rules are those of afilsql/api/methods.py, a test holds the two together; and of afil.account_check. An inline function, so that checking a
thousand requests is one set operation.

SELECT fault FROM afil.request_check(N'sendmessage', N'sms', N'1', N'2', N'x', NULL, NULL, NULL, N'default', 5, NULL, NULL);

Returns  a row: fault nvarchar, method nvarchar, platform nvarchar, type nvarchar, conversation nvarchar(460)
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.request_check (
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
RETURNS TABLE AS RETURN (
    SELECT
        CASE
            WHEN @method IS NULL
            OR @method NOT IN (
                N'getchatchannels',
                N'sendmessage',
                N'sendfile',
                N'getchats',
                N'getmessages',
                N'getunreadmessages'
            ) THEN CONCAT(
                N'@method ''',
                LEFT(@method, 80),
                N''' is not one of getchatchannels, sendmessage, sendfile, getchats, getmessages, getunreadmessages'
            )
            WHEN @account IS NULL
            OR LEN(
                @account
            ) NOT BETWEEN 1 AND 128 THEN N'@account must be the name of an account, 1 to 128 characters long'
            WHEN known.code = 'UNKNOWN_ACCOUNT' THEN known.fault
            WHEN @priority IS NULL OR @priority NOT BETWEEN 0 AND 9 THEN CONCAT(
                N'@priority ',
                @priority,
                N' is not between 0 (first) and 9 (last)'
            )
            WHEN @dedup_key IS NOT NULL
            AND LEN(@dedup_key) NOT BETWEEN 1 AND 200 THEN N'@dedup_key must be 1 to 200 characters long, or NULL'
            WHEN @max_attempts NOT BETWEEN 1 AND 100 THEN CONCAT(
                N'@max_attempts ',
                @max_attempts,
                N' is not between 1 and 100'
            )
            WHEN @method = N'getchatchannels' THEN NULL
            WHEN COALESCE(
                LTRIM(@platform),
                N''
            ) = N'' THEN N'@platform is missing: use webchat, whatsapp, telegram or operator'
            WHEN @platform NOT IN (N'webchat', N'whatsapp', N'telegram', N'operator') THEN CONCAT(
                N'@platform ''',
                LEFT(@platform, 80),
                N''' is not one of webchat, whatsapp, telegram, operator'
            )
            WHEN known.code = 'PLATFORM_NOT_ALLOWED' THEN known.fault
            WHEN COALESCE(
                LTRIM(@platformid),
                N''
            ) = N'' THEN N'@platformid is missing: give the id of the channel, which afil.get_chat_channels lists'
            WHEN LEN(@platformid) > 100 THEN CONCAT(
                N'@platformid is ',
                LEN(@platformid),
                N' characters long; at most 100 are allowed'
            )
            WHEN @method = N'getchats' THEN NULL
            WHEN COALESCE(
                LTRIM(@destination),
                N''
            ) = N'' THEN N'@destination is missing: give the recipient, for WhatsApp the number with its country code'
            WHEN LEN(@destination) > 200 THEN CONCAT(
                N'@destination is ',
                LEN(@destination),
                N' characters long; at most 200 are allowed'
            )
            WHEN @method IN (N'getmessages', N'getunreadmessages') THEN NULL
            WHEN @method = N'sendmessage'
            AND COALESCE(LTRIM(@message), N'') = N'' THEN N'@message is missing: give the text to send'
            /* LEN alone would not count trailing spaces. */
            WHEN LEN(CONCAT(@message, N'.')) - 1 > 1048576 THEN CONCAT(
                N'@message is ',
                LEN(@message),
                N' characters long; at most 1048576 are allowed'
            )
            WHEN @method = N'sendmessage' THEN NULL
            WHEN COALESCE(
                LTRIM(@type),
                N''
            ) = N'' THEN N'@type is missing: use image, video, audio, voice, document or contact'
            WHEN @type NOT IN (N'image', N'video', N'audio', N'voice', N'document', N'contact') THEN CONCAT(
                N'@type ''',
                LEFT(@type, 80),
                N''' is not one of image, video, audio, voice, document, contact'
            )
            WHEN COALESCE(
                LTRIM(@fileurl),
                N''
            ) = N'' THEN N'@fileurl is missing: give the http:// or https:// URL of the file'
            WHEN LEN(@fileurl) > 2000 THEN CONCAT(
                N'@fileurl is ',
                LEN(@fileurl),
                N' characters long; at most 2000 are allowed'
            )
            WHEN afil.url_fault(@fileurl) IS NOT NULL THEN CONCAT(N'@fileurl ', afil.url_fault(@fileurl))
            WHEN LEN(@thumburl) > 2000 THEN CONCAT(
                N'@thumburl is ',
                LEN(@thumburl),
                N' characters long; at most 2000 are allowed'
            )
            WHEN @thumburl <> N'' AND afil.url_fault(@thumburl) IS NOT NULL THEN CONCAT(
                N'@thumburl ',
                afil.url_fault(@thumburl)
            )
        END AS fault,
        LOWER(RTRIM(@method)) AS method,
        LOWER(RTRIM(@platform)) AS platform,
        LOWER(RTRIM(@type)) AS type,
        @account +
        NCHAR(31) +
        COALESCE(LOWER(RTRIM(@platform)), N'') +
        NCHAR(31) +
        COALESCE(@platformid, N'') +
        NCHAR(31) +
        COALESCE(@destination, N'') AS conversation
    FROM afil.account_check(@account, LOWER(RTRIM(@platform))) AS known
);
GO
