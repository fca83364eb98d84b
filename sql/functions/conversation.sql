SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
A conversation, sent and received, in the order of time: what the API lists, and requests that were not recognized there
(yet). Ask with ORDER BY place. `at` is the API's time, else when the message was first listed; of a request not listed,
when it was finished or queued. Times are UTC.

SELECT at, sent, message, status FROM afil.conversation(N'whatsapp', N'100', N'34600000000') ORDER BY place;

Returns  a row a message: place int from 1, at, account, sent bit (1 by us), message, status (the API's; of a request not
         listed, its own), messageid, id (of the request, NULL where others sent it), row_id (of chat_message)
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER FUNCTION afil.conversation (
    @platform NVARCHAR(20),
    @platformid NVARCHAR(100),
    @destination NVARCHAR(200)
)
RETURNS TABLE AS RETURN (
    SELECT
        ROW_NUMBER() OVER (ORDER BY v.at, v.row_id, v.id) AS place,
        v.at,
        v.account,
        v.sent,
        v.message,
        v.status,
        v.messageid,
        v.id,
        v.row_id
    FROM (
        SELECT
            COALESCE(m.dated_at, m.seen_at, m.updated_at) AS at,
            m.account,
            m.sent,
            m.message,
            m.status,
            m.messageid,
            (
                SELECT MIN(o.id)
                FROM afil.outbox AS o
                WHERE o.messageid IS NOT NULL
                    AND o.messageid = m.messageid
                    AND o.conversation = CAST(
                        m.account +
                        NCHAR(31) +
                        m.platform +
                        NCHAR(31) +
                        m.platformid +
                        NCHAR(31) +
                        m.destination AS NVARCHAR(460)
                    )
            ) AS id,
            m.id AS row_id
        FROM afil.chat_message AS m
        WHERE m.platform = @platform AND m.platformid = @platformid AND m.destination = @destination
        UNION ALL
        SELECT
            COALESCE(o.completed_at, o.created_at),
            o.account,
            CAST(1 AS BIT),
            COALESCE(NULLIF(o.message, N''), o.fileurl),
            o.status,
            NULL,
            o.id,
            NULL
        FROM (
            SELECT name FROM afil.account
            UNION
            SELECT N'default'
            UNION
            SELECT account
            FROM afil.chat_message
            WHERE platform = @platform AND platformid = @platformid AND destination = @destination
        ) AS a
        INNER JOIN afil.outbox AS o
            ON o.conversation = CAST(
                    a.name + NCHAR(31) + @platform + NCHAR(31) + @platformid + NCHAR(31) + @destination AS NVARCHAR(460)
                )
        WHERE o.messageid IS NULL AND o.method IN ('sendmessage', 'sendfile') AND o.status <> 'cancelled'
    ) AS v
);
GO
