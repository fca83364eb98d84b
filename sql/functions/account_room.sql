SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
How many rows of an account may be taken now. Part of afil.exchange_take.

An account that is closed (held, or its breaker has tripped) has room for one once it is due to be tried. One with a
rate has room for its tokens, of which it gains `rate` a second up to `burst`. A rate that the API was found to bear
grows by 5 % a second until what was configured, or no limit, is in force again.

SELECT * FROM afil.account_room(N'default', N'[{"account": "default", "rate": 10}]', 32, SYSUTCDATETIME());

Returns  a row: is_closed bit, room int, rate float (in force; NULL is no limit), rate_found float, tokens float
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.account_room (
    @account NVARCHAR(128),
    @accounts NVARCHAR(MAX), /* as in afil.exchange */
    @room INT, /* for accounts that it does not name */
    @now DATETIME2(3)
)
RETURNS TABLE AS RETURN (
    WITH asked AS (
        SELECT MAX(j.room) AS room, MAX(j.rate) AS rate, MAX(j.burst) AS burst
        FROM OPENJSON(@accounts) WITH (
            account NVARCHAR(1000),
            room INT,
            rate FLOAT,
            burst FLOAT
        ) AS j
        CROSS APPLY afil.json_text(j.account) AS n
        WHERE n.text = @account
    ),
    stored AS (
        SELECT
            MAX(CASE WHEN held_at IS NULL AND tripped_at IS NULL THEN 0 ELSE 1 END) AS is_closed,
            MAX(probe_at) AS probe_at,
            MAX(rest_until) AS rest_until,
            MAX(tokens) AS tokens,
            MAX(rate_found) AS rate_found,
            MAX(
                CASE
                    WHEN tokens_at IS NULL OR tokens_at > @now THEN 0
                    WHEN tokens_at < DATEADD(HOUR, -1, @now) THEN 3600
                    ELSE DATEDIFF(MILLISECOND, tokens_at, @now) / 1000.0
                END
            ) AS elapsed
        FROM afil.account
        WHERE name = @account
    ),
    known AS (
        SELECT
            COALESCE(s.is_closed, 0) AS is_closed,
            s.tokens,
            s.elapsed,
            s.rate_found * (1 + 0.05 * s.elapsed) AS grown,
            CASE
                WHEN s.is_closed = 1 AND s.probe_at <= @now THEN 1
                WHEN s.is_closed = 1 OR s.rest_until > @now THEN 0
                ELSE COALESCE(a.room, @room)
            END AS room,
            a.rate,
            COALESCE(a.burst, a.rate) AS burst
        FROM stored AS s
        CROSS JOIN asked AS a
    ),
    found AS (
        SELECT *, CASE WHEN grown < COALESCE(rate, 1000) THEN grown END AS rate_found FROM known
    ),
    capped AS (
        SELECT
            is_closed,
            room,
            elapsed,
            tokens,
            rate_found,
            COALESCE(rate_found, rate) AS rate,
            CASE WHEN burst < rate_found OR rate_found IS NULL THEN burst ELSE rate_found END AS burst
        FROM found
    ),
    filled AS (
        SELECT
            is_closed,
            room,
            rate,
            rate_found,
            CASE WHEN burst < 1 THEN 1 ELSE burst END AS burst,
            COALESCE(tokens, burst) + rate * elapsed AS level
        FROM capped
    ),
    bounded AS (
        SELECT is_closed, room, rate, rate_found, CASE WHEN level < burst THEN level ELSE burst END AS tokens
        FROM filled
    )
    SELECT is_closed, CASE WHEN tokens < room THEN FLOOR(tokens) ELSE room END AS room, rate, rate_found, tokens
    FROM bounded
);
GO
