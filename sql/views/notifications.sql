SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The notifications made with afil.create_notification, and whether each is in order.

SELECT name, state, reason FROM afil.notifications;

Returns  a row a notification: its definition; state: ok, broken (the table or a column it uses is gone), missing (its trigger was
         dropped), disabled, outdated (another version's trigger, or one edited by hand), hidden (you lack VIEW DEFINITION);
         reason; sql, the trigger as it should be
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.notifications
AS
SELECT
    n.name,
    CONCAT(n.table_schema, N'.', n.table_name) AS table_name,
    CONCAT(n.table_schema, N'.afil_', n.name) AS trigger_name,
    s.state,
    CASE s.state
        WHEN 'broken' THEN CASE WHEN o.object_id IS NULL THEN N'the table is gone' ELSE SUBSTRING(t.text, 2, 2000) END
        WHEN 'missing' THEN N'its trigger is not there: EXEC afil.refresh_notification writes it anew'
        WHEN 'disabled' THEN N'its trigger is disabled: ENABLE TRIGGER, or EXEC afil.refresh_notification'
        WHEN 'outdated' THEN N'its trigger is not the one afilsql would write now: EXEC afil.refresh_notification'
        WHEN 'hidden' THEN N'whether it is in order shows to who has VIEW DEFINITION on the database'
    END AS reason,
    N'CREATE ' + CASE WHEN LEFT(t.text, 1) = N'T' THEN t.text END AS sql,
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
    n.priority,
    n.created_at,
    n.created_by
FROM afil.notification AS n
LEFT OUTER JOIN sys.tables AS o
    ON o.object_id = OBJECT_ID(CONCAT(QUOTENAME(n.table_schema), N'.', QUOTENAME(n.table_name)))
LEFT OUTER JOIN sys.triggers AS r ON r.parent_id = o.object_id AND r.name = N'afil_' + n.name
LEFT OUTER JOIN sys.sql_modules AS m ON m.object_id = r.object_id
CROSS APPLY (
    SELECT
        afil.notification_trigger(
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
        ) AS text
) AS t
CROSS APPLY (
    SELECT
        CASE
            /* Who may not see definitions does not see tables and triggers either, and would take them for gone. */
            WHEN SERVERPROPERTY('Babelfish') IS NULL
            AND HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'VIEW DEFINITION') = 0 THEN 'hidden'
            WHEN o.object_id IS NULL OR LEFT(t.text, 1) = N'!' THEN 'broken'
            WHEN r.object_id IS NULL THEN 'missing'
            WHEN r.is_disabled = 1 THEN 'disabled'
            /* Babelfish has an empty definition of a trigger outside dbo. */
            WHEN NULLIF(m.definition, N'') <> N'CREATE ' + t.text THEN 'outdated'
            ELSE 'ok'
        END AS state
) AS s;
GO
