SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The list in the stored answer to one request, an element a row: at result.list, or result itself. No rows where there
is no answer or no list in it.

SELECT [key], value, type FROM afil.answer_list(1);

Returns  a row an element: [key] nvarchar from 0, value nvarchar(max) as JSON, type as OPENJSON has it (5 is an object)
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.answer_list (@id BIGINT)
RETURNS TABLE AS RETURN (
    SELECT j.[key], j.value, j.type
    FROM afil.response AS r
    CROSS APPLY OPENJSON(
        CASE
            WHEN ISJSON(r.body) = 0 THEN N'[]'
            WHEN JSON_QUERY(r.body, '$.result.list') IS NOT NULL THEN JSON_QUERY(r.body, '$.result.list')
            WHEN LEFT(JSON_QUERY(r.body, '$.result'), 1) = N'[' THEN JSON_QUERY(r.body, '$.result')
            ELSE N'[]'
        END
    ) AS j
    WHERE r.id = @id
);
GO
