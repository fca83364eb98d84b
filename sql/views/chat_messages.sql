SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The messages that afil.get_messages and afil.get_unread_messages brought; times are UTC. dated_at is datetime where
that is an ISO 8601 time, by the worker's AFILSQL_API_TIME_ZONE where it names no zone; else NULL. seen_at is when it was
first listed, is_new 1 when that was after the first look at its conversation.

SELECT * FROM afil.chat_messages;

Returns  a row each
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.chat_messages
AS
SELECT
    id,
    account,
    platform,
    platformid,
    destination,
    message,
    messageid,
    sent,
    status,
    datetime,
    dated_at,
    updated_at,
    seen_at,
    is_new
FROM afil.chat_message;
GO
