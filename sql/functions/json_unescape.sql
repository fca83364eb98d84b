SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Take the escapes of JSON (\" \\ \n \u0001 and so on) out of a text. Babelfish 4.3 needs it, see afil.json_text.
Control characters never stand raw in JSON, so a pair of them stands in for the escaped backslash meanwhile.

SELECT afil.json_unescape(N'a \"quoted\" word');

Returns  nvarchar(max)
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.json_unescape (@value NVARCHAR(MAX))
RETURNS NVARCHAR(MAX)
AS
BEGIN
    DECLARE @backslash NVARCHAR(2) = NCHAR(1) + NCHAR(2), @control INT = 1;
    SET @value = REPLACE(REPLACE(@value, N'\\', @backslash), N'\"', N'"');
    /* Babelfish takes the quotes off a string greedily: of an escaped one at its end only the backslash is left. */
    IF RIGHT(@value, 1) = N'\'
        SET @value = STUFF(@value, LEN(@value), 1, N'"');
    IF CHARINDEX(N'\', @value) > 0
    BEGIN
        SET @value = REPLACE(REPLACE(REPLACE(@value, N'\/', N'/'), N'\t', NCHAR(9)), N'\n', NCHAR(10));
        SET @value = REPLACE(REPLACE(REPLACE(@value, N'\r', NCHAR(13)), N'\b', NCHAR(8)), N'\f', NCHAR(12));
    END;
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
