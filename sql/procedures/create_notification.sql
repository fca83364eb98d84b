SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Have a message queued whenever rows of a table are inserted, updated or deleted: a trigger is written for it.

@message, @destination, @platformid, @fileurl and @dedup are templates. {column} is the row's value (on delete, the
deleted row's), {old.column} the one before an update, {{ and }} are braces, NULL is an empty text. Dates and numbers
take a format: {ordered_at:dd/MM/yyyy HH:mm}, {total:#,##0.00}. @destination and the like may also be just a column's name.

@when compares columns with each other or with literals: N'new.state = ''sent'' AND (old.state <> ''sent'' OR total > 100)'.

A row that makes no valid message becomes a failed request with a code (MISSING_DESTINATION, OVER_QUOTA, UNKNOWN_ACCOUNT, …); the
statement of whoever writes to the table never fails because of a notification. Whoever calls this needs ALTER on the table.

EXEC afil.create_notification
    @name = N'order_state', @table = N'dbo.orders', @on = N'insert, update', @columns = N'state',
    @when = N'new.state IN (''sent'', ''ready'')', @platform = N'whatsapp', @platformid = N'100', @destination = N'phone',
    @message = N'Order {order_id} is {state}.', @print_only = 1;

Returns  a row: name, table_name, sql nvarchar(max), the trigger's T-SQL; 0
Errors   51001 a parameter, column or placeholder is not allowed; 51003 it exists already; 51006 the engine refuses the trigger
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.create_notification
    @name NVARCHAR(4000) = NULL, /* letters, digits and _; the trigger is called afil_name */
    @table NVARCHAR(4000) = NULL, /* N'dbo.orders' */
    @on NVARCHAR(4000) = NULL, /* insert, update, delete, joined by commas */
    @columns NVARCHAR(4000) = NULL, /* only when an update changes one of these: N'state, phone' */
    @when NVARCHAR(MAX) = NULL, /* only for rows of which this is true */
    @platform NVARCHAR(4000) = NULL, /* webchat, whatsapp, telegram, operator */
    @platformid NVARCHAR(MAX) = NULL, /* id of the channel: a literal, a column or a template */
    @destination NVARCHAR(MAX) = NULL, /* recipient: a literal, a column or a template */
    @message NVARCHAR(MAX) = NULL, /* template of the text */
    @type NVARCHAR(4000) = NULL, /* to send a file: image, video, audio, voice, document, contact */
    @fileurl NVARCHAR(MAX) = NULL, /* its URL: a literal, a column or a template */
    @dedup NVARCHAR(MAX) = NULL, /* template of a key: a second message with the same one is not written */
    @account NVARCHAR(4000) = N'default', /* name of an account in the worker's settings */
    @priority INT = 5, /* 0 first … 9 last */
    @print_only BIT = 0 /* 1 shows the trigger and makes nothing */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @object_id INT, @fault NVARCHAR(2000), @sql NVARCHAR(MAX), @unknown NVARCHAR(100), @error NVARCHAR(2000);
    DECLARE @on_insert BIT, @on_update BIT, @on_delete BIT;

    IF @name IS NULL OR LEN(@name) NOT BETWEEN 1 AND 100 OR @name LIKE N'%[^a-zA-Z0-9_]%'
        THROW 51001, '@name must be 1 to 100 letters, digits and underscores: the trigger is called afil_name', 1;
    IF EXISTS (SELECT 1 FROM afil.notification WHERE name = @name)
    BEGIN
        SET @fault = CONCAT(
                N'the notification ''',
                @name,
                N''' exists already: remove it with afil.drop_notification first'
            );
        THROW 51003, @fault, 1;
    END;
    SET @object_id = OBJECT_ID(@table, N'U');
    IF @object_id IS NULL
    BEGIN
        SET @fault = CONCAT(
                N'@table ''',
                LEFT(@table, 200),
                N''' is not a table of this database: write N''schema.table'''
            );
        THROW 51001, @fault, 1;
    END;
    IF OBJECT_SCHEMA_NAME(@object_id) = N'afil'
        THROW 51001, '@table is one of afilsql''s own: a message about a message would never end', 1;

    SELECT TOP (1) @unknown = LEFT(LTRIM(RTRIM(value)), 100)
    FROM STRING_SPLIT(COALESCE(@on, N''), N',')
    WHERE LTRIM(RTRIM(value)) NOT IN (N'insert', N'update', N'delete');
    IF LTRIM(COALESCE(@on, N'')) = N'' /* of which Babelfish makes no row */
        SET @unknown = N'';
    IF @unknown IS NOT NULL
    BEGIN
        SET @fault = CONCAT(N'@on ''', @unknown, N''' is not one of insert, update, delete, joined by commas');
        THROW 51001, @fault, 1;
    END;
    SELECT
        @on_insert = MAX(CASE WHEN LTRIM(RTRIM(value)) = N'insert' THEN 1 ELSE 0 END),
        @on_update = MAX(CASE WHEN LTRIM(RTRIM(value)) = N'update' THEN 1 ELSE 0 END),
        @on_delete = MAX(CASE WHEN LTRIM(RTRIM(value)) = N'delete' THEN 1 ELSE 0 END)
    FROM STRING_SPLIT(@on, N',');

    SET @fault = CASE
            WHEN LEN(@columns) > 3900 THEN N'@columns is too long: at most 3900 characters are allowed'
            WHEN LEN(@when) > 3900 THEN N'@when is too long: at most 3900 characters are allowed'
            WHEN LTRIM(COALESCE(@platformid, N'')) = N'' THEN N'@platformid is missing: give the id of the channel'
            WHEN LTRIM(
                COALESCE(@destination, N'')
            ) = N'' THEN N'@destination is missing: give a column or the recipient'
            WHEN LEN(@platformid) > 3900
            OR LEN(@destination) > 3900
            OR LEN(@fileurl) > 3900
            OR LEN(
                @dedup
            ) > 3900 THEN N'@platformid, @destination, @fileurl and @dedup may have 3900 characters at most'
            WHEN LEN(@message) > 100000 THEN N'@message is too long: at most 100000 characters are allowed'
            WHEN @type IS NULL AND @fileurl IS NOT NULL THEN N'@type is missing: with @fileurl it says what the file is'
            WHEN @type IS NULL
            AND LTRIM(COALESCE(@message, N'')) = N'' THEN N'@message is missing: give the template of the text'
        END;
    IF @fault IS NULL
        SELECT @fault = fault, @platform = platform, @type = type
        FROM afil.request_check(
            CASE WHEN @type IS NULL THEN N'sendmessage' ELSE N'sendfile' END,
            @platform,
            N'1',
            N'1',
            N'x',
            @type,
            CASE WHEN @fileurl IS NULL THEN NULL ELSE N'https://example.com/' END,
            NULL,
            @account,
            @priority,
            NULL,
            NULL
        );
    /* A column's name alone is kept as a placeholder: should the column go, the name must not turn into a literal. */
    SELECT @platformid = N'{' + QUOTENAME(name) + N'}'
    FROM sys.columns
    WHERE object_id = @object_id AND name = @platformid;
    SELECT @destination = N'{' + QUOTENAME(name) + N'}'
    FROM sys.columns
    WHERE object_id = @object_id AND name = @destination;
    SELECT @fileurl = N'{' + QUOTENAME(name) + N'}' FROM sys.columns WHERE object_id = @object_id AND name = @fileurl;
    SELECT @dedup = N'{' + QUOTENAME(name) + N'}' FROM sys.columns WHERE object_id = @object_id AND name = @dedup;
    IF @fault IS NULL
        SET @sql = afil.notification_trigger(
                @name,
                @object_id,
                @on_insert,
                @on_update,
                @on_delete,
                @columns,
                @when,
                @account,
                @platform,
                @platformid,
                @destination,
                @message,
                @type,
                @fileurl,
                @dedup,
                @priority
            );
    IF @fault IS NULL AND LEFT(@sql, 1) = N'!'
        SET @fault = SUBSTRING(@sql, 2, 2000);
    IF @fault IS NOT NULL
        THROW 51001, @fault, 1;
    SET @sql = N'CREATE ' + @sql;

    IF @print_only = 0
    BEGIN
        BEGIN TRY
            BEGIN TRANSACTION;
            INSERT INTO afil.notification (
                name,
                table_schema,
                table_name,
                on_insert,
                on_update,
                on_delete,
                changed_columns,
                condition,
                account,
                platform,
                platformid,
                destination,
                message,
                type,
                fileurl,
                dedup,
                priority,
                created_at,
                created_by
            )
            VALUES (
                @name,
                OBJECT_SCHEMA_NAME(@object_id),
                OBJECT_NAME(@object_id),
                @on_insert,
                @on_update,
                @on_delete,
                @columns,
                @when,
                @account,
                @platform,
                @platformid,
                @destination,
                @message,
                @type,
                @fileurl,
                @dedup,
                @priority,
                SYSUTCDATETIME(),
                SUSER_SNAME()
            );
            EXEC sp_executesql @sql;
            COMMIT TRANSACTION;
        END TRY
        BEGIN CATCH
            SET @error = ERROR_MESSAGE();
            IF XACT_STATE() <> 0
                ROLLBACK TRANSACTION;
            SET @fault = LEFT(CONCAT(N'the engine refuses the trigger of ''', @name, N''': ', @error), 2000);
            THROW 51006, @fault, 1;
        END CATCH;
    END;
    SELECT
        @name AS name,
        CONCAT(OBJECT_SCHEMA_NAME(@object_id), N'.', OBJECT_NAME(@object_id)) AS table_name,
        @sql AS sql;
    RETURN 0;
END;
GO
