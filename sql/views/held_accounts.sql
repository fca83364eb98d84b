SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Accounts whose requests are not taken, and why; times are UTC.

SELECT * FROM afil.held_accounts;

Returns  a row each
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.held_accounts
AS
SELECT name, held_at, held_reason FROM afil.account WHERE held_at IS NOT NULL;
GO
