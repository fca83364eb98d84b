SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Open the breaker of accounts of which a worker saw most calls fail: nothing is taken for five seconds, then one request
is tried. Part of afil.exchange, inside its transaction and lock.

EXEC afil.exchange_trip @worker = N'example', @tripped = N'[]', @now = '2026-01-01';

Returns  0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.exchange_trip
    @worker NVARCHAR(128),
    @tripped NVARCHAR(MAX), /* ["account", …] */
    @now DATETIME2(3)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @account TABLE (
        name NVARCHAR(128) NOT NULL PRIMARY KEY
    );
    INSERT INTO @account (name)
    SELECT DISTINCT t.text
    FROM OPENJSON(@tripped) AS j
    CROSS APPLY afil.json_text(j.value) AS t
    WHERE NOT EXISTS (
            SELECT 1 FROM afil.account AS a WHERE a.name = t.text AND COALESCE(a.held_at, a.tripped_at) IS NOT NULL
        );
    INSERT INTO afil.account (name)
    SELECT t.name FROM @account AS t WHERE NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = t.name);
    UPDATE a
    SET tripped_at = @now, trips = 1, probe_at = DATEADD(SECOND, 5, @now), probe_id = NULL
    FROM afil.account AS a
    INNER JOIN @account AS t ON t.name = a.name;
    INSERT INTO afil.event_log (logged_at, event, detail)
    SELECT @now, 'breaker_open', CONCAT(t.name, N': most calls fail; one is tried now and then (', @worker, N')')
    FROM @account AS t;
    RETURN 0;
END;
GO
