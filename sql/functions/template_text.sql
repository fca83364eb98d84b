SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
T-SQL that fills a template with the columns of a row, for the trigger of a notification. {column} is the row's value,
{old.column} the one before an update, {column:format} as afil.column_text formats it, {[odd name]} any name; {{ and }}
stand for braces. NULL becomes an empty text.

SELECT afil.template_text(OBJECT_ID(N'dbo.orders'), N'@message', N'Order {order_id} is {state}');

Returns  nvarchar(max): = and the expression; < and the expression where it uses old.; or ! and what is wrong
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.template_text (@object_id INT, @parameter NVARCHAR(128), @template NVARCHAR(MAX))
RETURNS NVARCHAR(MAX)
AS
BEGIN
    DECLARE @expression NVARCHAR(MAX) = N'CAST(N'''' AS NVARCHAR(MAX))', @fault NVARCHAR(2000), @uses_old BIT = 0;
    DECLARE @rest NVARCHAR(MAX) = @template, @at INT, @literal NVARCHAR(MAX) = N'', @inside NVARCHAR(MAX);
    DECLARE @name NVARCHAR(300), @format NVARCHAR(4000), @alias NVARCHAR(10), @column NVARCHAR(MAX), @end INT;

    /* Searched in binary order: others take a full-width brace for a brace, and a quote with an accent for no quote. */
    WHILE DATALENGTH(@rest) > 0 AND @fault IS NULL
    BEGIN
        SET @at = PATINDEX(N'%[{}]%', @rest COLLATE Latin1_General_BIN2);
        IF @at = 0
        BEGIN
            SET @literal = @literal + @rest;
            SET @rest = N'';
        END;
        ELSE IF SUBSTRING(@rest, @at, 2) IN (N'{{', N'}}')
        BEGIN
            SET @literal = @literal + LEFT(@rest, @at);
            SET @rest = SUBSTRING(@rest, @at + 2, DATALENGTH(@rest));
        END;
        ELSE IF SUBSTRING(@rest, @at, 1) = N'}'
            SET @fault = CONCAT(@parameter, N' has a } that closes nothing: write }} for a brace');
        ELSE
        BEGIN
            SET @literal = @literal + LEFT(@rest, @at - 1);
            SET @inside = SUBSTRING(@rest, @at + 1, DATALENGTH(@rest));
            SET @alias = N'new';
            IF LOWER(LEFT(LTRIM(@inside), 4)) COLLATE Latin1_General_BIN2 IN (N'old.', N'new.')
            BEGIN
                SET @alias = LOWER(LEFT(LTRIM(@inside), 3));
                SET @inside = SUBSTRING(LTRIM(@inside), 5, DATALENGTH(@inside));
            END;
            IF LEFT(LTRIM(@inside), 1) = N'['
            BEGIN
                /* A name in brackets ends at the first ] that is not doubled. */
                SET @inside = SUBSTRING(LTRIM(@inside), 2, DATALENGTH(@inside));
                SET @end = CHARINDEX(N']', REPLACE(@inside COLLATE Latin1_General_BIN2, N']]', N'xx'));
                SET @name = REPLACE(LEFT(@inside, CASE WHEN @end > 0 THEN @end - 1 ELSE 0 END), N']]', N']');
                SET @inside = SUBSTRING(@inside, @end + 1, DATALENGTH(@inside));
            END;
            ELSE
            BEGIN
                SET @end = PATINDEX(N'%[:}]%', @inside COLLATE Latin1_General_BIN2);
                SET @name = LTRIM(RTRIM(LEFT(@inside, CASE WHEN @end > 0 THEN @end - 1 ELSE 0 END)));
                SET @inside = SUBSTRING(@inside, CASE WHEN @end > 0 THEN @end ELSE 1 END, DATALENGTH(@inside));
            END;
            SET @format = NULL;
            SET @end = CHARINDEX(N'}', @inside COLLATE Latin1_General_BIN2);
            IF LEFT(@inside, 1) = N':' AND @end > 0
                SET @format = SUBSTRING(@inside, 2, @end - 2);
            IF @end = 0 OR COALESCE(@name, N'') = N''
                SET @fault = CONCAT(
                        @parameter,
                        N' has a { without a column''s name and a }: write {column}, or {{ for a brace'
                    );
            ELSE IF @format IS NULL AND LTRIM(LEFT(@inside, @end - 1)) <> N''
                SET @fault = CONCAT(
                        @parameter,
                        N': ''',
                        LEFT(@inside, @end - 1),
                        N''' stands behind the name ''',
                        @name,
                        N''''
                    );
            ELSE
            BEGIN
                SET @column = afil.column_text(@object_id, @name, @alias, @format);
                IF LEFT(@column, 1) = N'!'
                    SET @fault = @parameter + N': ' + SUBSTRING(@column, 2, 2000);
                SET @expression = @expression +
                    CASE
                        WHEN DATALENGTH(@literal) > 0 THEN N' + N''' +
                        REPLACE(@literal COLLATE Latin1_General_BIN2, N'''', N'''''') +
                        N''''
                        ELSE N''
                    END +
                    N' + COALESCE(' +
                    @column +
                    N', N'''')';
                SET @literal = N'';
                SET @uses_old = CASE WHEN @alias = N'old' THEN 1 ELSE @uses_old END;
                SET @rest = SUBSTRING(@inside, @end + 1, DATALENGTH(@inside));
            END;
        END;
    END;
    IF DATALENGTH(@literal) > 0
        SET @expression = @expression +
            N' + N''' +
            REPLACE(@literal COLLATE Latin1_General_BIN2, N'''', N'''''') +
            N'''';
    RETURN COALESCE(N'!' + @fault, CASE WHEN @uses_old = 1 THEN N'<' ELSE N'=' END + @expression);
END;
GO
