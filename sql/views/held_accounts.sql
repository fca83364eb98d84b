SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Accounts whose requests are not taken, and why: held, or with an open breaker since most calls failed. tried_at is when
one request is tried next, NULL waits for afil.release_account. Times are UTC.

SELECT * FROM afil.held_accounts;

Returns  a row each
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.held_accounts
AS
SELECT
    name,
    COALESCE(held_at, tripped_at) AS held_at,
    CASE WHEN held_at IS NULL THEN N'BREAKER_OPEN: most calls failed' ELSE held_reason END AS held_reason,
    probe_at AS tried_at
FROM afil.account
WHERE held_at IS NOT NULL OR tripped_at IS NOT NULL;
GO
