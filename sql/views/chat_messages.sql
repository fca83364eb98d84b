SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The messages that afil.get_messages and afil.get_unread_messages brought; updated_at is UTC.

SELECT * FROM afil.chat_messages;

Returns  a row each
Errors   none
Grants   afil_reader
*/
CREATE OR ALTER VIEW afil.chat_messages
AS
SELECT id, account, platform, platformid, destination, message, messageid, sent, status, datetime, updated_at
FROM afil.chat_message;
GO
