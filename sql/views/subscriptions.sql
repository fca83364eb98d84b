SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
What is asked for again and again, see afil.subscribe: when next, when it was last answered, and what went wrong since.
destination is NULL for a whole channel. Times are UTC.

SELECT * FROM afil.subscriptions;

Returns  a row each
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.subscriptions
AS
SELECT
    id,
    account,
    platform,
    platformid,
    NULLIF(destination, N'') AS destination,
    every_seconds,
    unread_only,
    due_at AS next_at,
    last_at,
    failures,
    error_code,
    created_at,
    created_by
FROM afil.subscription;
GO
