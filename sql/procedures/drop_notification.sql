SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Remove a notification and its trigger. Requests that it has queued stay: afil.cancel @notification takes them out.

EXEC afil.drop_notification @name = N'order_state';

Returns  0
Errors   51002 there is no such notification
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.drop_notification @name NVARCHAR(100)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @fault NVARCHAR(2000), @sql NVARCHAR(MAX);
    IF NOT EXISTS (SELECT 1 FROM afil.notification WHERE name = @name)
    BEGIN
        SET @fault = CONCAT(N'there is no notification ''', @name, N''': afil.notifications lists those there are');
        THROW 51002, @fault, 1;
    END;
    SELECT @sql = CONCAT(N'DROP TRIGGER ', QUOTENAME(n.table_schema), N'.', QUOTENAME(r.name))
    FROM afil.notification AS n
    INNER JOIN sys.triggers AS r ON r.name = N'afil_' + n.name
    /* Its table may have got another name since. */
    INNER JOIN sys.tables AS o ON o.object_id = r.parent_id AND SCHEMA_NAME(o.schema_id) = n.table_schema
    WHERE n.name = @name;

    BEGIN TRY
        BEGIN TRANSACTION;
        IF @sql IS NOT NULL
            EXEC sp_executesql @sql;
        DELETE FROM afil.notification
        WHERE name = @name;
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;
    RETURN 0;
END;
GO
