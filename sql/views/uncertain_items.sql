SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Sends of which nobody can say whether they took effect, left to a person: afil.resolve settles one. Those that a worker
is still to read back are in afil.unsent_items. Columns as in afil.all_items.

SELECT TOP (10) id, destination, error_code, completed_at FROM afil.uncertain_items ORDER BY id DESC;

Returns  a row a request
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.uncertain_items
AS
SELECT * FROM afil.all_items WHERE status = 'uncertain' AND completed_at IS NOT NULL;
GO
