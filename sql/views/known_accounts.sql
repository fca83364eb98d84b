SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Accounts that workers have in their settings, with the platforms they may use (NULL is all) and when a worker last said
so. Once there is any, requests of others are refused. Times are UTC.

SELECT * FROM afil.known_accounts;

Returns  a row each
Errors   none
Grants   afil_sender, afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.known_accounts
AS
SELECT name, platforms, announced_at FROM afil.account WHERE announced_at IS NOT NULL;
GO
