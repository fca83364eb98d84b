SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Whether the requests of each account are taken: what workers show as metrics.

SELECT account, state FROM afil.account_states;

Returns  a row an account: state held (by a person, or its credentials are refused), breaker_open (most calls failed),
         resting (too many requests) or open
Errors   none
Grants   afil_worker, afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.account_states
AS
SELECT
    name AS account,
    CASE
        WHEN held_at IS NOT NULL THEN 'held'
        WHEN tripped_at IS NOT NULL THEN 'breaker_open'
        WHEN rest_until > SYSUTCDATETIME() THEN 'resting'
        ELSE 'open'
    END AS state
FROM afil.account;
GO
