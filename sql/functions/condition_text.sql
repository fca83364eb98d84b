SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
T-SQL of a condition on a row, for the trigger of a notification, read word by word and written anew: comparisons of
columns (column, new.column, old.column) with columns of the same kind or with literals, IS [NOT] NULL, [NOT] IN,
[NOT] LIKE, [NOT] BETWEEN, joined by AND, OR, NOT and parentheses. Nothing else is let in: no function, arithmetic
or subquery, for these can fail, and a failing trigger would fail the statement of a user.

SELECT afil.condition_text(OBJECT_ID(N'dbo.orders'), N'new.state = ''sent'' AND total > 100');

Returns  nvarchar(max): = and the condition; < and the condition where it uses old.; or ! and what is wrong
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.condition_text (@object_id INT, @condition NVARCHAR(4000))
RETURNS NVARCHAR(MAX)
AS
BEGIN
    /*
    What may come next:
        term     NOT, ( or a value                  middle   a comparison, IS, IN, LIKE, BETWEEN, NOT before these
        right    the value compared with            null     NULL, or NOT before it
        open     the ( of a list                    item     a value of a list        next   , or ) of a list
        like     a text                             low      the lower bound          and    AND before the upper bound
        high     the upper bound                    after    AND, OR, ) or the end
    */
    DECLARE
        @state NVARCHAR(10) = N'term',
        @depth INT = 0,
        @fault NVARCHAR(2000),
        @uses_old BIT = 0,
        @i INT = 1,
        @end INT;
    DECLARE @sql NVARCHAR(MAX) = N'', @token NVARCHAR(4000), @kind NVARCHAR(10), @word NVARCHAR(4000), @char NCHAR(1);
    DECLARE @left NVARCHAR(10), @name NVARCHAR(300), @alias NVARCHAR(10), @column NVARCHAR(300), @type NVARCHAR(128);
    DECLARE @category NVARCHAR(10), @blank NVARCHAR(10) = NCHAR(32) + NCHAR(9) + NCHAR(10) + NCHAR(13), @parts INT;

    WHILE @fault IS NULL
    BEGIN
        WHILE @i <= LEN(@condition) AND CHARINDEX(SUBSTRING(@condition, @i, 1), @blank) > 0
            SET @i = @i + 1;
        IF @i > LEN(@condition)
            BREAK;

        /* Cut off one token: its kind, its T-SQL, and of a value its category. */
        SELECT @char = SUBSTRING(@condition, @i, 1), @kind = NULL, @category = NULL, @word = NULL;
        IF UNICODE(@char) > 127 /* a letter of a name, though a collation may take it for a quote or a parenthesis */
            SET @char = N'a';
        IF @char = N'''' OR (UPPER(@char) = N'N' AND SUBSTRING(@condition, @i + 1, 1) = N'''')
        BEGIN
            SET @i = @i + CASE WHEN @char = N'''' THEN 1 ELSE 2 END;
            SET @token = SUBSTRING(@condition, @i, 4000);
            SET @end = CHARINDEX(N'''', REPLACE(@token COLLATE Latin1_General_BIN2, N'''''', N'xx'));
            IF @end = 0
                SET @fault = N'@when has a text without its closing quote';
            ELSE
            BEGIN
                SET @word = REPLACE(LEFT(@token, @end - 1) COLLATE Latin1_General_BIN2, N'''''', N'''');
                SELECT
                    @kind = N'value',
                    @category = N'text',
                    @token = N'N''' + REPLACE(@word COLLATE Latin1_General_BIN2, N'''', N'''''') + N'''';
                SET @i = @i + @end;
            END;
        END;
        ELSE IF @char LIKE N'[0-9]' OR (@char = N'-' AND SUBSTRING(@condition, @i + 1, 1) LIKE N'[0-9]')
        BEGIN
            SET @end = PATINDEX(N'%[^0-9.]%', SUBSTRING(@condition, @i + 1, 4000) + N' ');
            SET @token = SUBSTRING(@condition, @i, @end);
            SET @i = @i + @end;
            SELECT @kind = N'value', @category = N'number';
            IF TRY_CONVERT(DECIMAL(38, 10), @token) IS NULL
                SET @fault = CONCAT(N'@when: ''', @token, N''' is not a number');
        END;
        ELSE IF @char LIKE N'[a-zA-Z_[]' OR @char = N'"' OR UNICODE(@char) > 127
        BEGIN
            SELECT @alias = N'new', @name = NULL, @parts = 0;
            WHILE @fault IS NULL AND (@parts = 0 OR SUBSTRING(@condition, @i, 1) = N'.') AND @parts < 2
            BEGIN
                IF @parts = 1
                    SELECT @alias = LOWER(@name), @i = @i + 1;
                SET @char = SUBSTRING(@condition, @i, 1);
                IF @char = N'[' OR @char = N'"'
                BEGIN
                    SET @char = CASE WHEN @char = N'[' THEN N']' ELSE @char END;
                    SET @token = SUBSTRING(@condition, @i + 1, 4000);
                    SET @end = CHARINDEX(@char, REPLACE(@token COLLATE Latin1_General_BIN2, @char + @char, N'xx'));
                    IF @end = 0
                        SET @fault = N'@when has a name without its closing bracket';
                    SET @name = REPLACE(
                            LEFT(@token, CASE WHEN @end > 0 THEN @end - 1 ELSE 0 END) COLLATE Latin1_General_BIN2,
                            @char + @char,
                            @char
                        );
                    SET @i = @i + @end + 1;
                    SET @parts = CASE
                            WHEN @parts = 0 AND SUBSTRING(@condition, @i, 1) <> N'.' THEN 3
                            ELSE @parts + 1
                        END;
                END;
                ELSE
                BEGIN
                    SET @end = PATINDEX(
                            N'%[' + @blank + N'=<>!(),.''";+*/%&|^~-]%',
                            SUBSTRING(@condition, @i, 4000) + N' '
                        );
                    SET @name = SUBSTRING(@condition, @i, @end - 1);
                    SET @i = @i + @end - 1;
                    SET @parts = @parts + 1;
                END;
            END;
            IF @parts = 1 AND UPPER(@name) IN (N'AND', N'OR', N'NOT', N'IS', N'NULL', N'IN', N'LIKE', N'BETWEEN')
                SELECT @kind = N'word', @word = UPPER(@name), @token = UPPER(@name);
            ELSE IF @fault IS NULL
            BEGIN
                SELECT @column = NULL, @type = NULL;
                SELECT @column = c.name, @type = COALESCE(TYPE_NAME(c.system_type_id), t.name)
                FROM sys.columns AS c
                INNER JOIN sys.types AS t ON t.user_type_id = c.user_type_id
                WHERE c.object_id = @object_id AND c.name = @name;
                SET @category = CASE
                        WHEN @type IN (N'char', N'nchar', N'varchar', N'nvarchar', N'sysname') THEN N'text'
                        WHEN @type IN (
                            N'tinyint',
                            N'smallint',
                            N'int',
                            N'bigint',
                            N'decimal',
                            N'numeric',
                            N'money',
                            N'smallmoney',
                            N'float',
                            N'real',
                            N'bit'
                        ) THEN N'number'
                        WHEN @type IN (
                            N'date',
                            N'datetime',
                            N'datetime2',
                            N'smalldatetime',
                            N'datetimeoffset'
                        ) THEN N'date'
                        WHEN @type = N'time' THEN N'time'
                        WHEN @type = N'uniqueidentifier' THEN N'guid'
                        ELSE N'other'
                    END;
                IF @alias COLLATE Latin1_General_BIN2 NOT IN (N'new', N'old')
                    SET @fault = CONCAT(N'@when: ''', @alias, N'.', @name, N''' is neither new.column nor old.column');
                ELSE IF @column IS NULL
                    SET @fault = CONCAT(
                            N'@when: ''',
                            LEFT(@name, 128),
                            N''' is not a column of the table; a condition is made of new.column, old.column, literals, ',
                            N'= <> < <= > >=, IS NULL, IN, LIKE, BETWEEN, AND, OR, NOT and parentheses'
                        );
                ELSE
                    /* The widest of its kind: else comparing a date with a datetime, or an int with a money, may fail. */
                    SELECT
                        @kind = N'value',
                        @token = CASE
                            WHEN @type = N'date' THEN N'CAST(' +
                            @alias +
                            N'.' +
                            QUOTENAME(@column) +
                            N' AS DATETIME2(7))'
                            WHEN @type IN (N'money', N'smallmoney') THEN N'CAST(' +
                            @alias +
                            N'.' +
                            QUOTENAME(@column) +
                            N' AS DECIMAL(19, 4))'
                            ELSE @alias + N'.' + QUOTENAME(@column)
                        END;
                IF @alias = N'old'
                    SET @uses_old = 1;
                SET @word = NULL;
            END;
        END;
        ELSE IF SUBSTRING(@condition, @i, 2) COLLATE Latin1_General_BIN2 IN (N'<=', N'>=', N'<>', N'!=')
            SELECT @kind = N'compare', @token = SUBSTRING(@condition, @i, 2), @i = @i + 2;
        ELSE IF @char IN (N'=', N'<', N'>')
            SELECT @kind = N'compare', @token = @char, @i = @i + 1;
        ELSE IF @char IN (N'(', N')', N',')
            SELECT @kind = @char, @token = @char, @i = @i + 1;
        ELSE
            SET @fault = CONCAT(
                    N'@when: ''',
                    @char,
                    N''' is not allowed; a condition is made of new.column, old.column, literals, ',
                    N'= <> < <= > >=, IS NULL, IN, LIKE, BETWEEN, AND, OR, NOT and parentheses'
                );

        /* A literal takes the form of what it is compared with, so that comparing converts nothing. */
        IF @fault IS NULL AND @kind = N'value' AND @state IN (N'right', N'item', N'low', N'high') AND @category <> @left
        BEGIN
            IF @left = N'date' AND @word IS NOT NULL AND TRY_CONVERT(DATETIME2(7), @word, 121) IS NOT NULL
                SELECT @category = @left, @token = N'CONVERT(DATETIME2(7), ' + @token + N', 121)';
            ELSE IF @left = N'time' AND @word IS NOT NULL AND TRY_CONVERT(TIME, @word) IS NOT NULL
                SELECT @category = @left, @token = N'CONVERT(TIME, ' + @token + N')';
            ELSE IF @left = N'guid' AND @word IS NOT NULL AND TRY_CONVERT(UNIQUEIDENTIFIER, @word) IS NOT NULL
                SELECT @category = @left, @token = N'CONVERT(UNIQUEIDENTIFIER, ' + @token + N')';
            ELSE
                SET @fault = CONCAT(
                        N'@when: ',
                        @token,
                        N' is of another kind than what it is compared with (',
                        @left,
                        N')'
                    );
        END;
        IF @fault IS NULL AND @kind = N'value' AND @category = N'other' AND @state <> N'term'
            SET @fault = CONCAT(N'@when: ', @token, N' is of type ', @type, N', which can only be compared with NULL');

        IF @fault IS NULL
        BEGIN
            SET @word = COALESCE(CASE WHEN @kind = N'word' THEN @word END, @kind);
            IF @state = N'term' AND @word = N'NOT'
                SET @state = N'term';
            ELSE IF @state = N'term' AND @word = N'('
                SELECT @state = N'term', @depth = @depth + 1;
            ELSE IF @state = N'term' AND @word = N'value'
                SELECT @state = N'middle', @left = @category;
            ELSE IF @state = N'middle' AND @word = N'compare' AND @left <> N'other'
                SET @state = N'right';
            ELSE IF @state = N'middle' AND @word = N'IS'
                SET @state = N'null';
            ELSE IF @state = N'middle' AND @word = N'NOT'
                SET @state = N'negated';
            ELSE IF @state IN (N'middle', N'negated') AND @word = N'IN' AND @left <> N'other'
                SET @state = N'open';
            ELSE IF @state IN (N'middle', N'negated') AND @word = N'LIKE' AND @left = N'text'
                SET @state = N'like';
            ELSE IF @state IN (N'middle', N'negated') AND @word = N'BETWEEN' AND @left <> N'other'
                SET @state = N'low';
            ELSE IF @state IN (N'right', N'high') AND @word = N'value'
                SET @state = N'after';
            ELSE IF @state = N'like' AND @word = N'value' AND @category = N'text'
                SET @state = N'after';
            ELSE IF @state = N'null' AND @word = N'NOT'
                SET @state = N'only null';
            ELSE IF @state IN (N'null', N'only null') AND @word = N'NULL'
                SET @state = N'after';
            ELSE IF @state = N'open' AND @word = N'('
                SET @state = N'item';
            ELSE IF @state = N'item' AND @word = N'value'
                SET @state = N'next';
            ELSE IF @state = N'next' AND @word = N','
                SET @state = N'item';
            ELSE IF @state = N'next' AND @word = N')'
                SET @state = N'after';
            ELSE IF @state = N'low' AND @word = N'value'
                SET @state = N'and';
            ELSE IF @state = N'and' AND @word = N'AND'
                SET @state = N'high';
            ELSE IF @state = N'after' AND @word IN (N'AND', N'OR')
                SET @state = N'term';
            ELSE IF @state = N'after' AND @word = N')' AND @depth > 0
                SET @depth = @depth - 1;
            ELSE
                SET @fault = CONCAT(N'@when: ', @token, N' is not expected there');
            SET @sql = @sql + CASE WHEN @sql = N'' THEN N'' ELSE N' ' END + @token;
        END;
    END;
    IF @fault IS NULL AND (@state <> N'after' OR @depth > 0)
        SET @fault = N'@when ends too early: something is missing at its end';
    RETURN COALESCE(N'!' + @fault, CASE WHEN @uses_old = 1 THEN N'<' ELSE N'=' END + @sql);
END;
GO
