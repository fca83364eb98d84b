SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Requests that failed, with the error code; afil.requeue tries one again. Columns as in afil.all_items.

SELECT TOP (10) id, destination, error_code, completed_at FROM afil.failed_items ORDER BY id DESC;

Returns  a row a request
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.failed_items
AS
SELECT * FROM afil.all_items WHERE status = 'failed' AND completed_at IS NOT NULL;
GO
