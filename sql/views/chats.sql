SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The chats that afil.get_chats brought, each with its last message; times are UTC. dated_at is datetime where
that is an ISO 8601 time, by the worker's AFILSQL_API_TIME_ZONE where it names no zone; else NULL.

SELECT * FROM afil.chats;

Returns  a row each
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.chats
AS
SELECT account, platform, platformid, destination, message, messageid, sent, status, datetime, dated_at, updated_at
FROM afil.chat;
GO
