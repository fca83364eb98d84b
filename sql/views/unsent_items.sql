SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Requests still on their way: queued, scheduled, sending, or uncertain and about to be read back. Columns as in
afil.all_items. A branch for each, so that each reads its own index.

SELECT TOP (10) id, destination, status, due_at FROM afil.unsent_items ORDER BY id;

Returns  a row a request
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.unsent_items
AS
SELECT * FROM afil.all_items WHERE status = 'queued'
UNION ALL
SELECT * FROM afil.all_items WHERE status = 'scheduled'
UNION ALL
SELECT * FROM afil.all_items WHERE status = 'sending'
UNION ALL
SELECT * FROM afil.all_items WHERE status = 'uncertain' AND check_at IS NOT NULL;
GO
