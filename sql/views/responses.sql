SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The answers as they came; times are UTC.

SELECT * FROM afil.responses;

Returns  a row each
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.responses
AS
SELECT id, received_at, body FROM afil.response;
GO
