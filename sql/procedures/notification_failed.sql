SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Log that the trigger of a notification could not do its work, at most once a minute. Internal: the triggers call it.

EXEC afil.notification_failed @name = N'example', @reason = N'a column it uses is gone';

Returns  0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.notification_failed @name NVARCHAR(100), @reason NVARCHAR(1000)
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @detail NVARCHAR(1000) = LEFT(CONCAT(@name, N': ', @reason), 1000);
    IF NOT EXISTS (
           SELECT 1
           FROM afil.event_log WITH (NOLOCK)
           WHERE logged_at > DATEADD(MINUTE, -1, SYSUTCDATETIME())
               AND event = 'notification_failed'
               AND detail = @detail
       )
        INSERT INTO afil.event_log (logged_at, event, detail)
        VALUES (SYSUTCDATETIME(), 'notification_failed', @detail);
    RETURN 0;
END;
GO
