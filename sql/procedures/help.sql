SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
What there is and how to use it: every procedure, view and function that a role may use, with an example; or one of
them, in full.

EXEC afil.help;
EXEC afil.help @name = N'send_message';

Returns  a row an object: name, kind, grants, summary, example; with @name a row: name, header; 0
Errors   51001 there is no such object
Grants   afil_sender, afil_reader, afil_worker, afil_operator
*/
CREATE OR ALTER PROCEDURE afil.help @name NVARCHAR(200) = NULL
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @fault NVARCHAR(2000);
    IF @name IS NULL
    BEGIN
        SELECT object_name AS name, kind, grants, summary, example
        FROM afil.sql_object
        WHERE grants <> N'none' AND kind <> N'grants'
        ORDER BY kind, object_name;
        RETURN 0;
    END;
    IF LEFT(@name, 5) = N'afil.'
        SET @name = SUBSTRING(@name, 6, 200);
    IF NOT EXISTS (SELECT 1 FROM afil.sql_object WHERE object_name = @name)
    BEGIN
        SET @fault = CONCAT(N'@name ''', @name, N''' is not one of afilsql''s objects: EXEC afil.help; lists them');
        THROW 51001, @fault, 1;
    END;
    SELECT object_name AS name, header FROM afil.sql_object WHERE object_name = @name;
    RETURN 0;
END;
GO
