SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The messages that afil.get_messages and afil.get_unread_messages brought; updated_at is UTC. dated_at is datetime where
that is an ISO 8601 time, else NULL; the API does not say its time zone.

SELECT * FROM afil.chat_messages;

Returns  a row each
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.chat_messages
AS
SELECT id, account, platform, platformid, destination, message, messageid, sent, status, datetime, dated_at, updated_at
FROM afil.chat_message;
GO
