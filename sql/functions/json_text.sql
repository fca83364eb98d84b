SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The text of a JSON string that OPENJSON returned. SQL Server returns it decoded; Babelfish 4.3 leaves the escapes in,
and there they are taken out.

SELECT t.text FROM OPENJSON(N'["a \"quoted\" word"]') AS j CROSS APPLY afil.json_text(j.value) AS t;

Returns  a row: text nvarchar(max)
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.json_text (@value NVARCHAR(MAX))
RETURNS TABLE AS RETURN (
    SELECT
        CASE
            WHEN CHARINDEX(N'\', @value) = 0 OR SERVERPROPERTY('Babelfish') IS NULL THEN @value
            ELSE afil.json_unescape(@value)
        END AS text
);
GO
