SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Write a notification's trigger anew from its definition, after its table was changed, its trigger dropped or disabled,
or afilsql upgraded; or all of them that are not in order.

EXEC afil.refresh_notification;
EXEC afil.refresh_notification @name = N'order_state';

Returns  a row a notification: name, state, reason; 0
Errors   51001 what the definition names is gone: drop the notification and create it as it should be; 51002 there is no such notification; 51006 the engine refuses the trigger
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.refresh_notification
    @name NVARCHAR(100) = NULL /* NULL: every one that is not in order */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE
        @fault NVARCHAR(2000),
        @drop NVARCHAR(MAX),
        @create NVARCHAR(MAX),
        @next NVARCHAR(100),
        @error NVARCHAR(2000);
    DECLARE @todo TABLE (
        name NVARCHAR(100) NOT NULL PRIMARY KEY
    );
    IF @name IS NOT NULL AND NOT EXISTS (SELECT 1 FROM afil.notification WHERE name = @name)
    BEGIN
        SET @fault = CONCAT(N'there is no notification ''', @name, N''': afil.notifications lists those there are');
        THROW 51002, @fault, 1;
    END;
    INSERT INTO @todo (name)
    SELECT name FROM afil.notifications WHERE name = @name OR (@name IS NULL AND state NOT IN ('ok', 'broken'));

    SELECT @next = MIN(name) FROM @todo;
    WHILE @next IS NOT NULL
    BEGIN
        SELECT @drop = NULL, @create = NULL, @fault = NULL;
        SELECT
            @create = CASE
                WHEN o.object_id IS NULL THEN N'!its table is gone'
                ELSE afil.notification_trigger(
                    n.name,
                    o.object_id,
                    n.on_insert,
                    n.on_update,
                    n.on_delete,
                    n.changed_columns,
                    n.condition,
                    n.account,
                    n.platform,
                    n.platformid,
                    n.destination,
                    n.message,
                    n.type,
                    n.fileurl,
                    n.dedup,
                    n.priority
                )
            END,
            @drop = N'DROP TRIGGER ' + QUOTENAME(n.table_schema) + N'.' + QUOTENAME(r.name)
        FROM afil.notification AS n
        LEFT OUTER JOIN sys.tables AS o
            ON o.object_id = OBJECT_ID(CONCAT(QUOTENAME(n.table_schema), N'.', QUOTENAME(n.table_name)))
        LEFT OUTER JOIN sys.triggers AS r ON r.parent_id = o.object_id AND r.name = N'afil_' + n.name
        WHERE n.name = @next;
        IF LEFT(@create, 1) = N'!'
            SET @fault = SUBSTRING(@create, 2, 2000);
        IF @fault IS NOT NULL
        BEGIN
            SET @fault = CONCAT(N'the notification ''', @next, N''' cannot be written anew: ', @fault);
            THROW 51001, @fault, 1;
        END;
        SET @create = N'CREATE ' + @create;

        BEGIN TRY
            BEGIN TRANSACTION;
            IF @drop IS NOT NULL
                EXEC sp_executesql @drop;
            EXEC sp_executesql @create;
            COMMIT TRANSACTION;
        END TRY
        BEGIN CATCH
            SET @error = ERROR_MESSAGE();
            IF XACT_STATE() <> 0
                ROLLBACK TRANSACTION;
            SET @fault = LEFT(CONCAT(N'the engine refuses the trigger of ''', @next, N''': ', @error), 2000);
            THROW 51006, @fault, 1;
        END CATCH;
        SELECT @next = MIN(name) FROM @todo WHERE name > @next;
    END;
    SELECT name, state, reason FROM afil.notifications WHERE name = @name OR @name IS NULL ORDER BY name;
    RETURN 0;
END;
GO
