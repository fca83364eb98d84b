SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
What is wrong with a trace context in the form of the W3C (version 00); NULL when nothing is, or there is none. The rule
is that of afilsql/outbox/validate.py; a test holds the two together.

SELECT fault FROM afil.traceparent_check(N'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01');

Returns  a row: fault nvarchar
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.traceparent_check (@traceparent NVARCHAR(4000))
RETURNS TABLE AS RETURN (
    SELECT
        CASE
            WHEN LEN(@traceparent + N'.') <> 56
            OR LEFT(@traceparent, 3) <> N'00-'
            OR TRANSLATE(@traceparent COLLATE Latin1_General_BIN2, N'0123456789abcdef', REPLICATE(N'a', 16)) <> N'aa-' +
            REPLICATE(N'a', 32) +
            N'-' +
            REPLICATE(N'a', 16) +
            N'-aa'
            OR SUBSTRING(@traceparent, 4, 32) = REPLICATE(N'0', 32)
            OR SUBSTRING(@traceparent, 37, 16) = REPLICATE(N'0', 16) THEN N'@traceparent ''' +
            LEFT(@traceparent, 80) +
            N''' is not a W3C trace context: write 00-<32>-<16>-<2> hexadecimal digits in lower case, the first two not all zeros'
        END AS fault
);
GO
