SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Every request as it stands; times are UTC. messageid and delivery_status are the API's, once the
message was recognized in its conversation. The last five columns carry the names that Database Mail gives them.

SELECT TOP (10) * FROM afil.all_items ORDER BY id DESC;

Returns  a row a request
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.all_items
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
    dedup_key,
    notification,
    check_at,
    messageid,
    delivery_status,
    traceparent,
    status AS sent_status,
    created_at AS send_request_date,
    created_by AS send_request_user,
    CASE WHEN status = 'sent' THEN completed_at END AS sent_date,
    COALESCE(completed_at, due_at) AS last_mod_date
FROM afil.outbox;
GO
