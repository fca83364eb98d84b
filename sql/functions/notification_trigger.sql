SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The trigger that a notification amounts to, as T-SQL without its CREATE; or what is wrong with the definition. Every
name in it goes through QUOTENAME, every literal has its quotes doubled, and the condition is written anew from its words.

What makes the trigger safe for those who write to the table:
- it is one set operation, whatever the statement's number of rows;
- nothing in it converts or cuts with an error: an invalid message becomes a failed row with a code;
- should an error come all the same, it is caught and logged, and XACT_ABORT is off so that it dooms no transaction;
- a column that has gone does not break it: in a subquery a name that inserted lacks is looked up further out, where
  `absent` has a column of every name it uses, whose value, new each time, no row can have. The trigger sees that and
  logs it instead of sending nonsense;
- the SET options that filtered indexes ask for are set here, as old clients leave them off.

SELECT afil.notification_trigger(N'order_state', OBJECT_ID(N'dbo.orders'), 0, 1, 0, N'state', NULL,
    N'default', N'whatsapp', N'100', N'{phone}', N'Order {order_id} is {state}', NULL, NULL, NULL, 5);

Returns  nvarchar(max): TRIGGER …; or ! and what is wrong
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.notification_trigger (
    @name NVARCHAR(100),
    @object_id INT,
    @on_insert BIT,
    @on_update BIT,
    @on_delete BIT,
    @columns NVARCHAR(4000),
    @when NVARCHAR(4000),
    @account NVARCHAR(400),
    @platform NVARCHAR(200),
    @platformid NVARCHAR(MAX),
    @destination NVARCHAR(MAX),
    @message NVARCHAR(MAX),
    @type NVARCHAR(20),
    @fileurl NVARCHAR(MAX),
    @dedup NVARCHAR(4000),
    @priority INT
)
RETURNS NVARCHAR(MAX)
AS
BEGIN
    DECLARE
        @fault NVARCHAR(2000),
        @uses_old BIT = 0,
        @condition NVARCHAR(MAX),
        @changed NVARCHAR(MAX),
        @all NVARCHAR(MAX);
    DECLARE
        @absent NVARCHAR(MAX),
        @present NVARCHAR(MAX),
        @gone NVARCHAR(MAX),
        @key NVARCHAR(MAX),
        @order NVARCHAR(MAX);
    DECLARE @first_key NVARCHAR(300), @unknown NVARCHAR(300), @dedup_key NVARCHAR(MAX), @quoted_name NVARCHAR(300);
    DECLARE @head NVARCHAR(MAX), @tail NVARCHAR(MAX), @nothing NVARCHAR(10) = N'@mark';
    /*
    What is the same for every row is reckoned once, and only what is too long is cut: each function of a row costs,
    on Babelfish. LEN does not count spaces at the end, but with something behind them.
    */
    DECLARE
        @fixed BIT = 0, /* the channel is the same for all rows */
        @channel NVARCHAR(100) = N'CASE WHEN r.fault IS NULL THEN r.platformid ELSE LEFT(r.platformid, 100) END',
        @recipient NVARCHAR(100) = N'CASE WHEN r.fault IS NULL THEN r.destination ELSE LEFT(r.destination, 200) END',
        @channel_fault NVARCHAR(400) = N'WHEN LEN(m.platformid) = 0 THEN N''MISSING_PLATFORMID''
                    WHEN LEN(m.platformid + N''.'') > 101 THEN N''PLATFORMID_TOO_LONG''
                    ';

    SELECT
        @platformid = afil.template_text(@object_id, N'@platformid', @platformid),
        @destination = afil.template_text(@object_id, N'@destination', @destination),
        @message = afil.template_text(@object_id, N'@message', COALESCE(@message, N'')),
        @fileurl = afil.template_text(@object_id, N'@fileurl', COALESCE(@fileurl, N'')),
        @dedup_key = afil.template_text(@object_id, N'@dedup', COALESCE(@dedup, N'')),
        @condition = afil.condition_text(@object_id, @when);
    SET @fault = CASE N'!'
            WHEN LEFT(@platformid, 1) THEN SUBSTRING(@platformid, 2, 2000)
            WHEN LEFT(@destination, 1) THEN SUBSTRING(@destination, 2, 2000)
            WHEN LEFT(@message, 1) THEN SUBSTRING(@message, 2, 2000)
            WHEN LEFT(@fileurl, 1) THEN SUBSTRING(@fileurl, 2, 2000)
            WHEN LEFT(@dedup_key, 1) THEN SUBSTRING(@dedup_key, 2, 2000)
            WHEN CASE WHEN @when IS NOT NULL THEN LEFT(@condition, 1) END THEN SUBSTRING(@condition, 2, 2000)
        END;
    SET @uses_old = CASE
            WHEN N'<' IN (
                LEFT(@platformid, 1),
                LEFT(@destination, 1),
                LEFT(@message, 1),
                LEFT(@fileurl, 1),
                LEFT(@dedup_key, 1),
                LEFT(@condition, 1)
            ) THEN 1
            ELSE 0
        END;
    SELECT
        @platformid = SUBSTRING(@platformid, 2, LEN(@platformid)),
        @destination = SUBSTRING(@destination, 2, LEN(@destination)),
        @message = SUBSTRING(@message, 2, LEN(@message)),
        @fileurl = SUBSTRING(@fileurl, 2, LEN(@fileurl)),
        @dedup_key = SUBSTRING(@dedup_key, 2, LEN(@dedup_key)),
        @condition = CASE WHEN @when IS NOT NULL THEN SUBSTRING(@condition, 2, LEN(@condition)) END;
    IF @fault IS NULL AND @uses_old = 1 AND @on_update = 0
        SET @fault = N'old. is the row before an update, and @on has no update: use the column''s name alone';

    IF @fault IS NULL AND @columns IS NOT NULL
    BEGIN
        SELECT TOP (1) @unknown = LTRIM(RTRIM(s.value))
        FROM STRING_SPLIT(@columns, N',') AS s
        WHERE NOT EXISTS (
                SELECT 1 FROM sys.columns AS c WHERE c.object_id = @object_id AND c.name = LTRIM(RTRIM(s.value))
            );
        IF LTRIM(@columns) = N'' /* of which Babelfish makes no row */
            SET @unknown = N'';
        IF @unknown IS NOT NULL
            SET @fault = CONCAT(N'@columns: ''', @unknown, N''' is not a column of the table');
        IF @on_update = 0
            SET @fault = N'@columns says which columns an update must change, and @on has no update: leave it out';
        SELECT
            @changed = STRING_AGG(
                CAST(
                    REPLACE(
                        N'new.? <> old.? OR (new.? IS NULL AND old.? IS NOT NULL) OR (old.? IS NULL AND new.? IS NOT NULL)' COLLATE Latin1_General_BIN2,
                        N'?',
                        QUOTENAME(c.name)
                    ) AS NVARCHAR(MAX)
                ),
                N' OR '
            ) WITHIN GROUP (ORDER BY c.column_id)
        FROM sys.columns AS c
        WHERE c.object_id = @object_id AND c.name IN (SELECT LTRIM(RTRIM(value)) FROM STRING_SPLIT(@columns, N','));
    END;

    /* old rows are paired with new ones by the primary key. */
    SELECT
        @key = STRING_AGG(
            CAST(N'old.' + QUOTENAME(c.name) + N' = new.' + QUOTENAME(c.name) AS NVARCHAR(MAX)),
            N' AND '
        ) WITHIN GROUP (ORDER BY k.key_ordinal),
        @order = STRING_AGG(CAST(N'new.' + QUOTENAME(c.name) AS NVARCHAR(MAX)), N', ') WITHIN GROUP (
            ORDER BY k.key_ordinal
        ),
        @first_key = MIN(CASE WHEN k.key_ordinal = 1 THEN c.name END)
    FROM sys.indexes AS i
    INNER JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
    INNER JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
    WHERE i.object_id = @object_id AND i.is_primary_key = 1 AND k.key_ordinal > 0;
    IF @fault IS NULL AND @key IS NULL AND (@uses_old = 1 OR @changed IS NOT NULL)
        SET @fault = N'the table has no primary key, so the row before an update cannot be found: give it one, or leave out @columns and old.';
    SET @order = COALESCE(@order, N'(SELECT NULL)');

    SET @all = CONCAT(@platformid, @destination, @message, @fileurl, @dedup_key, @condition, @changed, @key);
    SELECT
        @absent = STRING_AGG(CAST(@nothing + N' AS ' + QUOTENAME(name) AS NVARCHAR(MAX)), N', ') WITHIN GROUP (
            ORDER BY column_id
        ),
        @present = STRING_AGG(CAST(QUOTENAME(name) + N' AS ' + QUOTENAME(name) AS NVARCHAR(MAX)), N', ') WITHIN GROUP (
            ORDER BY column_id
        ),
        @gone = STRING_AGG(
            CAST(N'TRY_CONVERT(NVARCHAR(MAX), r.' + QUOTENAME(name) + N') = ' + @nothing AS NVARCHAR(MAX)),
            N' OR '
        ) WITHIN GROUP (ORDER BY column_id)
    FROM sys.columns
    WHERE object_id = @object_id
        AND (CHARINDEX(N'new.' + QUOTENAME(name), @all) > 0 OR CHARINDEX(N'old.' + QUOTENAME(name), @all) > 0);
    /* A notification that names no column still needs one for its sources. */
    SELECT
        @absent = COALESCE(@absent, N'1 AS [one]'),
        @present = COALESCE(@present, N'1 AS [one]'),
        @gone = COALESCE(@gone, N'1 = 0');

    IF CHARINDEX(N'new.[', @platformid) = 0 AND CHARINDEX(N'old.[', @platformid) = 0
        SELECT @fixed = 1, @channel = N'@channel', @channel_fault = NULL;
    SELECT
        @account = N'N''' + REPLACE(@account COLLATE Latin1_General_BIN2, N'''', N'''''') + N'''',
        @platform = N'N''' + REPLACE(@platform COLLATE Latin1_General_BIN2, N'''', N'''''') + N'''',
        @quoted_name = N'N''' + REPLACE(@name COLLATE Latin1_General_BIN2, N'''', N'''''') + N'''';

    /* The INSERT, before and after the table that the rows are read from. TOP, all there are, has what is in it reckoned once. */
    SET @head = CONCAT(
            N'
        INSERT INTO afil.outbox (
            request_id, account, method, platform, platformid, destination, message, type, fileurl, priority, status, turn,
            due_at, attempts, max_attempts, dedup_key, conversation, created_at, created_by, completed_at, error_code, notification
        )
        SELECT
            NEWID(), ',
            @account,
            CASE WHEN @type IS NULL THEN N', ''sendmessage'', ' ELSE N', ''sendfile'', ' END,
            @platform,
            N', ',
            @channel,
            N', ',
            @recipient,
            N', CASE WHEN r.fault IS NULL THEN r.message ELSE LEFT(r.message, 1048576) END, ',
            COALESCE(
                N'''' + REPLACE(@type COLLATE Latin1_General_BIN2, N'''', N'''''') + N''', LEFT(r.fileurl, 2000), ',
                N'NULL, NULL, '
            ),
            @priority,
            N',
            CASE WHEN r.fault IS NULL THEN ''queued'' ELSE ''failed'' END, CASE WHEN r.fault IS NULL THEN 0 END,
            @now, 0, @tries, ',
            CASE WHEN @dedup IS NULL THEN N'NULL' ELSE N'NULLIF(LEFT(r.dedup_key, 200), N'''')' END,
            N',
            @line + ',
            CASE WHEN @fixed = 0 THEN @channel + N' + NCHAR(31) + ' END,
            @recipient,
            N',
            @now, @user, CASE WHEN r.fault IS NOT NULL THEN @now END, r.fault, ',
            @quoted_name,
            N'
        FROM (
            SELECT TOP (@rows)
                m.*,',
            CASE
                WHEN @dedup IS NOT NULL THEN N'
                ROW_NUMBER() OVER (PARTITION BY LEFT(m.dedup_key, 200) ORDER BY m.place) AS dedup_place,'
            END,
            N'
                CASE
                    WHEN @unknown IS NOT NULL THEN @unknown
                    WHEN m.place > @left THEN N''OVER_QUOTA''
                    ',
            @channel_fault,
            N'WHEN LEN(m.destination) = 0 THEN N''MISSING_DESTINATION''
                    WHEN LEN(m.destination + N''.'') > 201 THEN N''DESTINATION_TOO_LONG''
                    WHEN LEN(m.message + N''.'') > 1048577 THEN N''MESSAGE_TOO_LONG''
                    ',
            CASE
                WHEN @type IS NULL THEN N'WHEN LEN(m.message) = 0 THEN N''MISSING_MESSAGE'''
                ELSE N'WHEN LEN(m.fileurl) > 2000 OR afil.url_fault(m.fileurl) IS NOT NULL
                        THEN N''INCORRECT_FILEURL'''
            END,
            N'
                END AS fault
            FROM (
                SELECT
                    ROW_NUMBER() OVER (ORDER BY ',
            @order,
            N') AS place,
                    ',
            CASE
                WHEN @fixed = 0 THEN @platformid +
                N' AS platformid,
                    '
            END,
            @destination,
            N' AS destination,
                    ',
            @fileurl,
            N' AS fileurl,
                    ',
            @dedup_key,
            N' AS dedup_key,
                    ',
            @message,
            N' AS message
                FROM (
                    SELECT r.*
                    FROM (SELECT ',
            @absent,
            N') AS absent
                    CROSS APPLY (SELECT ',
            @present,
            N' FROM '
        );
    SET @tail = CONCAT(
            N') AS r
                ) AS new',
            CASE
                WHEN @uses_old = 1 OR @changed IS NOT NULL THEN CONCAT(
                    N'
                LEFT OUTER JOIN (
                    SELECT r.*
                    FROM (SELECT ',
                    @absent,
                    N') AS absent
                    CROSS APPLY (SELECT ',
                    @present,
                    N' FROM deleted) AS r
                ) AS old ON ',
                    @key
                )
            END,
            CASE
                WHEN @condition IS NOT NULL OR @changed IS NOT NULL THEN CONCAT(
                    N'
                WHERE ',
                    N'(' + @condition + N')',
                    CASE WHEN @condition IS NOT NULL AND @changed IS NOT NULL THEN N' AND ' END,
                    /* An inserted row, and one whose key was changed, has no old one; a deleted row changes no column. */
                    CASE
                        WHEN @changed IS NULL THEN NULL
                        WHEN @on_delete = 1 THEN N'(NOT EXISTS (SELECT 1 FROM inserted) OR '
                        ELSE N'('
                    END,
                    N'old.' + QUOTENAME(@first_key) + N' IS NULL OR ' + @changed + N')'
                )
            END,
            N'
            ) AS m
        ) AS r',
            CASE
                WHEN @dedup IS NOT NULL THEN CONCAT(
                    N'
        WHERE LEFT(r.dedup_key, 200) = N''''
            OR (
                r.dedup_place = 1
                AND NOT EXISTS (
                    SELECT 1
                    FROM afil.outbox AS o WITH (UPDLOCK, HOLDLOCK)
                    WHERE o.account = ',
                    @account,
                    N' AND o.dedup_key = LEFT(r.dedup_key, 200)
                )
            )'
                )
            END,
            N'
        ORDER BY r.place;'
        );

    RETURN CASE
        WHEN @fault IS NOT NULL THEN N'!' + @fault
        ELSE CONCAT(
            N'TRIGGER ',
            QUOTENAME(OBJECT_SCHEMA_NAME(@object_id)),
            N'.',
            QUOTENAME(N'afil_' + @name),
            N' ON ',
            QUOTENAME(OBJECT_SCHEMA_NAME(@object_id)),
            N'.',
            QUOTENAME(OBJECT_NAME(@object_id)),
            N'
AFTER ',
            STUFF(
                CASE WHEN @on_insert = 1 THEN N', INSERT' ELSE N'' END +
                CASE WHEN @on_update = 1 THEN N', UPDATE' ELSE N'' END +
                CASE WHEN @on_delete = 1 THEN N', DELETE' ELSE N'' END,
                1,
                2,
                N''
            ),
            N'
AS
/* Written by afil.create_notification; afil.refresh_notification writes it anew, afil.drop_notification removes it. */
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT OFF;
    SET ANSI_PADDING, ANSI_WARNINGS, ARITHABORT, CONCAT_NULL_YIELDS_NULL ON;
    SET NUMERIC_ROUNDABORT OFF;
    DECLARE @rows INT, @left INT, @tries INT, @now DATETIME2(3) = SYSUTCDATETIME(), @error NVARCHAR(1000);
    DECLARE @unknown VARCHAR(30), @user NVARCHAR(128) = SUSER_SNAME();
    DECLARE @channel NVARCHAR(MAX), @line NVARCHAR(450);
    DECLARE @mark NVARCHAR(36) = CONVERT(NVARCHAR(36), NEWID());
    BEGIN TRY
        SELECT @rows = COUNT(*) FROM inserted;',
            CASE
                WHEN @on_delete = 1 THEN N'
        IF @rows = 0
            SELECT @rows = COUNT(*) FROM deleted;'
            END,
            N'
        IF @rows = 0
            RETURN;
        IF EXISTS (
            SELECT 1
            FROM (SELECT ',
            @absent,
            N') AS absent
            CROSS APPLY (',
            CASE WHEN @on_insert = 1 OR @on_update = 1 THEN CONCAT(N'SELECT TOP (1) ', @present, N' FROM inserted') END,
            CASE WHEN @on_delete = 1 AND (@on_insert = 1 OR @on_update = 1) THEN N' UNION ALL ' END,
            CASE WHEN @on_delete = 1 THEN CONCAT(N'SELECT TOP (1) ', @present, N' FROM deleted') END,
            N') AS r
            WHERE ',
            @gone,
            N'
        )
        BEGIN
            EXEC afil.notification_failed @name = ',
            @quoted_name,
            N', @reason = N''a column it uses is gone'';
            RETURN;
        END;
        EXEC afil.quota_left @adding = @rows, @left = @left OUTPUT;
        SELECT @tries = CAST(value AS INT) FROM afil.setting WHERE name = ''max_attempts'';
        SELECT @unknown = code FROM afil.account_check(',
            @account,
            N', ',
            @platform,
            N');
        SET @line = ',
            @account,
            N' + NCHAR(31) + ',
            @platform,
            N' + NCHAR(31);',
            CASE
                WHEN @fixed = 1 THEN CONCAT(
                    N'
        SET @channel = ',
                    @platformid,
                    N';
        SET @unknown = CASE
                WHEN @unknown IS NOT NULL THEN @unknown
                WHEN LEN(@channel) = 0 THEN ''MISSING_PLATFORMID''
                WHEN LEN(@channel + N''.'') > 101 THEN ''PLATFORMID_TOO_LONG''
            END;
        SELECT @channel = LEFT(@channel, 100), @line = @line + LEFT(@channel, 100) + NCHAR(31);'
                )
            END,
            N'
',
            CASE
                WHEN @on_delete = 0 THEN CONCAT(@head, N'inserted', @tail)
                WHEN @on_insert = 0 AND @on_update = 0 THEN CONCAT(@head, N'deleted', @tail)
                ELSE CONCAT(
                    N'
        IF EXISTS (SELECT 1 FROM inserted)',
                    @head,
                    N'inserted',
                    @tail,
                    N'
        ELSE',
                    @head,
                    N'deleted',
                    @tail
                )
            END,
            N'
    END TRY
    BEGIN CATCH
        SET @error = LEFT(ERROR_MESSAGE(), 1000);
        BEGIN TRY
            EXEC afil.notification_failed @name = ',
            @quoted_name,
            N', @reason = @error;
        END TRY
        BEGIN CATCH
            SET @error = NULL;
        END CATCH;
    END CATCH;
END;'
        )
    END;
END;
GO
