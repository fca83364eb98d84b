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
    SELECT name
    FROM afil.notifications
    WHERE name = @name OR (@name IS NULL AND state IN ('missing', 'disabled', 'outdated'));

    SELECT @next = MIN(name) FROM @todo;
    WHILE @next IS NOT NULL
    BEGIN
        SELECT @drop = NULL, @create = NULL, @fault = NULL;
        SELECT
            @create = n.sql,
            @fault = CASE WHEN n.sql IS NULL OR n.state IN ('broken', 'hidden') THEN n.reason END,
            @drop = N'DROP TRIGGER ' + QUOTENAME(d.table_schema) + N'.' + QUOTENAME(r.name)
        FROM afil.notifications AS n
        INNER JOIN afil.notification AS d ON d.name = n.name
        LEFT OUTER JOIN sys.triggers AS r
            ON r.parent_id = OBJECT_ID(CONCAT(QUOTENAME(d.table_schema), N'.', QUOTENAME(d.table_name)))
                AND r.name = N'afil_' + d.name
        WHERE n.name = @next;
        IF @fault IS NOT NULL
        BEGIN
            SET @fault = CONCAT(N'the notification ''', @next, N''' cannot be written anew: ', @fault);
            THROW 51001, @fault, 1;
        END;

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
