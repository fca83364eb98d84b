SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The requests of whoever asks. Columns as in afil.all_items.

SELECT TOP (10) id, destination, status, error_code FROM afil.my_items ORDER BY id DESC;

Returns  a row a request
Errors   none
Grants   afil_sender, afil_operator
*/
CREATE OR ALTER VIEW afil.my_items
AS
SELECT * FROM afil.all_items WHERE created_by = SUSER_SNAME();
GO
