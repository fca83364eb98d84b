SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Take the escapes of JSON (\" \\ \n \u0001 and so on) out of a text that OPENJSON returned, as afil.json_text does. Babelfish
4.3 needs it; there this costs less for many short texts, on SQL Server afil.json_text does.
Control characters never stand raw in JSON, so a pair of them stands in for the escaped backslash meanwhile. LIKE, for
it is what costs least there (which takes a bare \ in a pattern for an escape), and most texts have no other than \".

SELECT afil.json_unescape(N'a \"quoted\" word');

Returns  nvarchar(max)
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.json_unescape (@value NVARCHAR(MAX))
RETURNS NVARCHAR(MAX)
AS
BEGIN
    DECLARE @backslash NVARCHAR(2) = NCHAR(1) + NCHAR(2), @doubled BIT = 0, @control INT = 1;
    IF @value IS NULL OR @value NOT LIKE N'%[\]%' OR SERVERPROPERTY('Babelfish') IS NULL
        RETURN @value;
    IF @value LIKE N'%[\][\]%'
        SELECT @doubled = 1, @value = REPLACE(@value, N'\\', @backslash);
    SET @value = REPLACE(@value, N'\"', N'"');
    /* Babelfish takes the quotes off a string greedily: of an escaped one at its end only the backslash is left. */
    IF @value LIKE N'%[\]'
        SET @value = STUFF(@value, LEN(@value), 1, N'"');
    IF @value LIKE N'%[\]%'
    BEGIN
        SET @value = REPLACE(REPLACE(REPLACE(@value, N'\/', N'/'), N'\t', NCHAR(9)), N'\n', NCHAR(10));
        SET @value = REPLACE(REPLACE(REPLACE(@value, N'\r', NCHAR(13)), N'\b', NCHAR(8)), N'\f', NCHAR(12));
    END;
    WHILE @control < 32 AND @value LIKE N'%[\]u00%'
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
    IF @doubled = 1
        SET @value = REPLACE(@value, @backslash, N'\');
    RETURN @value;
END;
GO
