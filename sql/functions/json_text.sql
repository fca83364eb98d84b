SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The text of a JSON string that OPENJSON returned. SQL Server returns it decoded; Babelfish 4.3 leaves the escapes
in (\" \\ \n and so on), and there this function takes them out.

SELECT afil.json_text(value) FROM OPENJSON(N'["a \"quoted\" word"]');

Returns  nvarchar(max)
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.json_text (@value NVARCHAR(MAX))
RETURNS NVARCHAR(MAX)
AS
BEGIN
    IF @value IS NULL OR CHARINDEX(N'\', @value) = 0
        RETURN @value;
    IF (SELECT TOP (1) LEN(value) FROM OPENJSON(N'["\\"]')) = 1
        RETURN @value;

    /* Control characters never stand raw in JSON, so a pair of them can stand in for the escaped backslash. */
    DECLARE @backslash NVARCHAR(2) = NCHAR(1) + NCHAR(2), @control INT = 1;
    SET @value = REPLACE(@value, N'\\', @backslash);
    SET @value = REPLACE(REPLACE(REPLACE(@value, N'\"', N'"'), N'\/', N'/'), N'\t', NCHAR(9));
    SET @value = REPLACE(REPLACE(@value, N'\n', NCHAR(10)), N'\r', NCHAR(13));
    SET @value = REPLACE(REPLACE(@value, N'\b', NCHAR(8)), N'\f', NCHAR(12));
    WHILE @control < 32 AND CHARINDEX(N'\u00', @value) > 0
    BEGIN
        SET @value = REPLACE(
                @value,
                N'\u00' +
                CASE WHEN @control < 16 THEN N'0' ELSE N'1' END +
                SUBSTRING(N'0123456789abcdef', @control % 16 + 1, 1),
                NCHAR(@control)
            );
        SET @control = @control + 1;
    END;
    RETURN REPLACE(@value, @backslash, N'\');
END;
GO
