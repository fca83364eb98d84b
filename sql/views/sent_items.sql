SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Requests that the API accepted; times are UTC.

SELECT * FROM afil.sent_items;

Returns  a row a request
Errors   none
Grants   afil_reader
*/
CREATE OR ALTER VIEW afil.sent_items
AS
SELECT
    id,
    request_id,
    account,
    method,
    platform,
    platformid,
    destination,
    message,
    type,
    fileurl,
    thumburl,
    priority,
    status,
    due_at,
    attempts,
    max_attempts,
    created_at,
    created_by,
    completed_at,
    error_code,
    http_status,
    dedup_key
FROM afil.outbox
WHERE status IN ('sent');
GO
