SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
T-SQL that turns a column of a table into text, for the trigger of a notification. It raises no error whatever the
value, and is NULL for NULL; texts take the database's collation, or two of them could not be joined. Dates take a format of yyyy, yy, MM, dd, HH, mm, ss, fff and punctuation; numbers take 0,
0.00 (any number of decimals up to nine), #,##0 or #,##0.00. Without one, dates come as yyyy-MM-dd and HH:mm:ss.

SELECT afil.column_text(OBJECT_ID(N'dbo.orders'), N'ordered_at', N'new', N'dd/MM/yyyy');

Returns  nvarchar(max): the expression; or ! and what is wrong
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.column_text (
    @object_id INT,
    @name NVARCHAR(300),
    @alias NVARCHAR(10),
    @format NVARCHAR(4000)
)
RETURNS NVARCHAR(MAX)
AS
BEGIN
    DECLARE @column NVARCHAR(300), @type NVARCHAR(128), @kind NVARCHAR(10), @fault NVARCHAR(2000);
    DECLARE @expression NVARCHAR(MAX), @names NVARCHAR(1000), @decimals INT, @time NVARCHAR(MAX), @i INT = 1;
    DECLARE @start INT, @length INT;

    SELECT @column = c.name, @type = COALESCE(TYPE_NAME(c.system_type_id), t.name)
    FROM sys.columns AS c
    INNER JOIN sys.types AS t ON t.user_type_id = c.user_type_id
    WHERE c.object_id = @object_id AND c.name = @name;
    IF @column IS NULL
    BEGIN
        SELECT @names = LEFT(STRING_AGG(CAST(name AS NVARCHAR(MAX)), N', ') WITHIN GROUP (ORDER BY column_id), 1000)
        FROM sys.columns
        WHERE object_id = @object_id;
        SET @fault = CONCAT(N'''', @name, N''' is not a column of the table; its columns are ', @names);
    END;

    SET @kind = CASE
            WHEN @type IN (
                N'date',
                N'datetime',
                N'datetime2',
                N'smalldatetime',
                N'datetimeoffset',
                N'time'
            ) THEN N'date'
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
                N'real'
            ) THEN N'number'
            WHEN @type IN (N'char', N'nchar', N'varchar', N'nvarchar', N'sysname') THEN N'text'
            WHEN @type IN (
                N'bit',
                N'uniqueidentifier',
                N'xml',
                N'binary',
                N'varbinary',
                N'timestamp',
                N'rowversion'
            ) THEN N'other'
        END;
    IF @fault IS NULL AND @kind IS NULL
        SET @fault = CONCAT(N'''', @name, N''' is of type ', @type, N', which a trigger cannot read as text');
    IF @fault IS NULL AND @format IS NOT NULL AND @kind NOT IN (N'date', N'number')
        SET @fault = CONCAT(N'''', @name, N''' is of type ', @type, N', which takes no format: leave out :', @format);

    SET @column = @alias + N'.' + QUOTENAME(@column);
    IF @fault IS NULL AND @kind = N'date' AND @format IS NULL
        SET @expression = CASE @type
                WHEN N'date' THEN N'CONVERT(NVARCHAR(10), ' + @column + N', 23)'
                WHEN N'time' THEN N'CONVERT(NVARCHAR(8), ' + @column + N', 108)'
                ELSE N'CONVERT(NVARCHAR(19), CAST(' + @column + N' AS DATETIME2(0)), 120)'
            END;
    IF @fault IS NULL AND @kind = N'date' AND @format IS NOT NULL
    BEGIN
        /* Parts of the ISO form, by their place in it; anything else that is not a letter stands for itself. */
        SET @time = N'CONVERT(NVARCHAR(23), CAST(' + @column + N' AS DATETIME2(3)), 121)';
        WHILE @i <= LEN(@format) AND @fault IS NULL
        BEGIN
            SELECT @start = NULL, @length = 2;
            IF SUBSTRING(@format, @i, 4) COLLATE Latin1_General_BIN2 = N'yyyy'
                SELECT @start = 1, @length = 4;
            ELSE IF SUBSTRING(@format, @i, 3) COLLATE Latin1_General_BIN2 = N'fff'
                SELECT @start = 21, @length = 3;
            ELSE
                SET @start = CASE SUBSTRING(@format, @i, 2) COLLATE Latin1_General_BIN2
                        WHEN N'yy' THEN 3
                        WHEN N'MM' THEN 6
                        WHEN N'dd' THEN 9
                        WHEN N'HH' THEN 12
                        WHEN N'mm' THEN 15
                        WHEN N'ss' THEN 18
                    END;
            IF @start IS NOT NULL
            BEGIN
                SET @expression = COALESCE(@expression + N' + ', N'') +
                    CONCAT(N'SUBSTRING(', @time, N', ', @start, N', ', @length, N')');
                SET @i = @i + @length;
            END;
            ELSE IF SUBSTRING(@format, @i, 1) LIKE N'[a-zA-Z]'
                SET @fault = CONCAT(
                        N'the format ''',
                        @format,
                        N''' is not one of yyyy, yy, MM, dd, HH, mm, ss, fff and punctuation'
                    );
            ELSE
            BEGIN
                SET @expression = COALESCE(@expression + N' + ', N'') +
                    N'N''' +
                    REPLACE(SUBSTRING(@format, @i, 1) COLLATE Latin1_General_BIN2, N'''', N'''''') +
                    N'''';
                SET @i = @i + 1;
            END;
        END;
        IF @expression IS NULL AND @fault IS NULL
            SET @fault = CONCAT(N'''', @name, N''' has a : and no format behind it');
    END;
    IF @fault IS NULL AND @kind = N'number'
    BEGIN
        SET @decimals = CASE WHEN CHARINDEX(N'.', @format) > 0 THEN LEN(@format) - CHARINDEX(N'.', @format) ELSE 0 END;
        IF @format IS NULL AND @type IN (N'tinyint', N'smallint', N'int', N'bigint')
            SET @expression = @column; /* CONVERT costs five times as much as CAST, on Babelfish */
        ELSE IF @format IS NULL
            SET @expression = N'LTRIM(RTRIM(CONVERT(NVARCHAR(60), ' + @column + N')))';
        ELSE IF @format = N'#,##0'
            SET @expression = N'REPLACE(LTRIM(RTRIM(CONVERT(NVARCHAR(60), TRY_CONVERT(MONEY, TRY_CONVERT(DECIMAL(38, 0), ' +
                @column +
                N')), 1))), N''.00'', N'''')';
        ELSE IF @format = N'#,##0.00'
            SET @expression = N'LTRIM(RTRIM(CONVERT(NVARCHAR(60), TRY_CONVERT(MONEY, TRY_CONVERT(DECIMAL(38, 2), ' +
                @column +
                N')), 1)))';
        ELSE IF @format = N'0'
           OR (
               @format LIKE N'0.%'
               AND REPLACE(SUBSTRING(@format, 3, 100), N'0', N'') = N''
               AND @decimals BETWEEN 1 AND 9
           )
            SET @expression = CONCAT(
                    N'LTRIM(RTRIM(CONVERT(NVARCHAR(60), TRY_CONVERT(DECIMAL(38, ',
                    @decimals,
                    N'), ',
                    @column,
                    N'))))'
                );
        ELSE
            SET @fault = CONCAT(N'the format ''', @format, N''' is not one of 0, 0.00, #,##0, #,##0.00');
    END;
    IF @fault IS NULL AND @kind = N'text'
        SET @expression = CASE WHEN @type IN (N'char', N'nchar') THEN N'RTRIM(' + @column + N')' ELSE @column END;
    IF @fault IS NULL AND @kind = N'other'
        SET @expression = CASE
                WHEN @type IN (
                    N'binary',
                    N'varbinary',
                    N'timestamp',
                    N'rowversion'
                ) THEN N'CONVERT(NVARCHAR(MAX), CONVERT(VARBINARY(MAX), ' + @column + N'), 1)'
                WHEN @type = N'bit' THEN N'CONVERT(NVARCHAR(1), ' + @column + N')'
                ELSE N'TRY_CONVERT(NVARCHAR(MAX), ' + @column + N')'
            END;

    RETURN COALESCE(
        N'!' + @fault,
        N'CAST(' +
        @expression +
        N' AS NVARCHAR(MAX))' +
        CASE WHEN @kind = N'text' THEN N' COLLATE DATABASE_DEFAULT' ELSE N'' END
    );
END;
GO
