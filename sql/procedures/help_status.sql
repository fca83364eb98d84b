SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Is all well? A line each for the workers, the queue, the accounts, what failed, the notifications and the subscriptions,
with what to do where something is not.

EXEC afil.help_status;

Returns  a row an aspect: aspect, ok bit, state nvarchar, advice nvarchar; 0
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER PROCEDURE afil.help_status
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @now DATETIME2(3) = SYSUTCDATETIME(), @alive INT, @seen INT, @waiting BIGINT, @sending BIGINT, @oldest INT;
    DECLARE @scheduled BIGINT, @failed INT, @uncertain BIGINT, @held INT, @broken INT, @paused BIT = 0;
    DECLARE @subscribed INT, @failing INT, @faults NVARCHAR(1000);
    DECLARE @names NVARCHAR(4000), @codes NVARCHAR(1000), @error NVARCHAR(2000);

    SELECT @alive = COALESCE(SUM(CASE WHEN is_alive = 1 THEN 1 ELSE 0 END), 0), @seen = MIN(seen_seconds_ago)
    FROM afil.workers;
    SELECT
        @waiting = COALESCE(SUM(waiting), 0),
        @scheduled = COALESCE(SUM(scheduled), 0),
        @sending = COALESCE(SUM(sending), 0),
        @oldest = MAX(oldest_seconds)
    FROM afil.queue_status;
    SELECT
        @failed = COALESCE(SUM(f.items), 0),
        @codes = LEFT(
            STRING_AGG(CONCAT(CAST(f.items AS NVARCHAR(MAX)), N' ', f.error_code), N', ') WITHIN GROUP (
                ORDER BY f.items DESC
            ),
            1000
        )
    FROM (
        SELECT error_code, COUNT(*) AS items
        FROM afil.outbox
        WHERE status = 'failed' AND completed_at IS NOT NULL AND completed_at > DATEADD(HOUR, -1, @now)
        GROUP BY error_code
    ) AS f;
    SELECT @uncertain = COUNT(*) FROM afil.outbox WHERE status = 'uncertain' AND completed_at IS NOT NULL;
    SELECT
        @held = COUNT(*),
        @names = LEFT(STRING_AGG(CONCAT(CAST(name AS NVARCHAR(MAX)), N' (', LEFT(held_reason, 100), N')'), N'; '), 4000)
    FROM afil.held_accounts;
    SELECT @broken = COUNT(*) FROM afil.notifications WHERE state NOT IN ('ok', 'hidden');
    SELECT
        @subscribed = COUNT(*),
        @failing = COALESCE(SUM(CASE WHEN failures > 0 THEN 1 ELSE 0 END), 0),
        @faults = LEFT(
            STRING_AGG(
                CASE
                    WHEN failures > 0 THEN CONCAT(CAST(platform AS NVARCHAR(MAX)), N' ', platformid, N' ', error_code)
                END,
                N', '
            ),
            1000
        )
    FROM afil.subscription;
    SELECT @paused = 1 FROM afil.setting WHERE name = 'paused' AND value = N'1';
    SELECT TOP (1) @error = CONCAT(CONVERT(NVARCHAR(19), logged_at, 120), N' ', event, N': ', detail)
    FROM afil.event_log
    ORDER BY id DESC;

    SELECT s.aspect, s.ok, s.state, CASE WHEN s.ok = 0 THEN s.advice END AS advice
    FROM (
        SELECT
            1 AS place,
            'worker' AS aspect,
            CAST(CASE WHEN @alive > 0 THEN 1 ELSE 0 END AS BIT) AS ok,
            CASE
                WHEN @alive > 0 THEN CONCAT(@alive, N' alive')
                WHEN @seen IS NULL THEN N'no worker has ever been here'
                ELSE CONCAT(N'none alive; the last was heard of ', @seen, N' seconds ago')
            END AS state,
            N'start `afilsql worker`, or look at its log' AS advice
        UNION ALL
        SELECT
            2,
            'pause',
            CAST(1 - @paused AS BIT),
            CASE WHEN @paused = 1 THEN N'everything is paused' ELSE N'not paused' END,
            N'EXEC afil.resume;'
        UNION ALL
        SELECT
            3,
            'queue',
            CAST(CASE WHEN @waiting > 0 AND @oldest > 300 THEN 0 ELSE 1 END AS BIT),
            CONCAT(
                @waiting,
                N' waiting, ',
                @sending,
                N' being sent, ',
                @scheduled,
                N' scheduled; the oldest has waited ',
                COALESCE(@oldest, 0),
                N' seconds'
            ),
            N'SELECT * FROM afil.queue_status; more workers or a higher AFILSQL_CONCURRENCY empty it faster'
        UNION ALL
        SELECT
            4,
            'accounts',
            CAST(CASE WHEN @held = 0 THEN 1 ELSE 0 END AS BIT),
            CASE WHEN @held = 0 THEN N'none is held' ELSE CONCAT(N'held: ', @names) END,
            N'of refused credentials: mend them in the worker''s settings, then EXEC afil.release_account; an open breaker closes by itself'
        UNION ALL
        SELECT
            5,
            'failed',
            CAST(CASE WHEN @failed = 0 THEN 1 ELSE 0 END AS BIT),
            CONCAT(@failed, N' within the last hour', N': ' + @codes),
            N'SELECT * FROM afil.failed_items ORDER BY id DESC; afil.requeue tries them again'
        UNION ALL
        SELECT
            6,
            'uncertain',
            CAST(CASE WHEN @uncertain = 0 THEN 1 ELSE 0 END AS BIT),
            CONCAT(@uncertain, N' of which nobody can say whether they were sent'),
            N'SELECT * FROM afil.uncertain_items; then EXEC afil.resolve for each'
        UNION ALL
        SELECT
            7,
            'notifications',
            CAST(CASE WHEN @broken = 0 THEN 1 ELSE 0 END AS BIT),
            CONCAT(@broken, N' not in order'),
            N'SELECT name, state, reason FROM afil.notifications; EXEC afil.refresh_notification rebuilds one'
        UNION ALL
        SELECT
            8,
            'subscriptions',
            CAST(CASE WHEN @failing = 0 THEN 1 ELSE 0 END AS BIT),
            CONCAT(@subscribed, N' in all, ', @failing, N' failing', N': ' + @faults),
            N'SELECT * FROM afil.subscriptions WHERE failures > 0; tried again later and later, an hour at most'
        UNION ALL
        SELECT 9, 'last event', CAST(1 AS BIT), COALESCE(@error, N'none'), NULL
    ) AS s
    ORDER BY s.place;
    RETURN 0;
END;
GO
