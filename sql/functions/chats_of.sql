SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The chats in the answer to one request, as rows, each with its latest message; as afil.messages_of.

SELECT n, destination, message, dated_at FROM afil.chats_of(1) ORDER BY n;

Returns  a row a chat: n int from 1, platform, platformid, destination, message, messageid, sent bit, status, datetime, dated_at datetime2(3)
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER FUNCTION afil.chats_of (@id BIGINT)
RETURNS TABLE AS RETURN (
    SELECT n, platform, platformid, destination, message, messageid, sent, status, datetime, dated_at
    FROM afil.messages_of(@id)
);
GO
