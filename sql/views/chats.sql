SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The chats that afil.get_chats brought, each with its last message; updated_at is UTC.

SELECT * FROM afil.chats;

Returns  a row each
Errors   none
Grants   afil_reader
*/
CREATE OR ALTER VIEW afil.chats
AS
SELECT account, platform, platformid, destination, message, messageid, sent, status, datetime, updated_at
FROM afil.chat;
GO
