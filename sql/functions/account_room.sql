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
    SELECT
        t.is_closed,
        CASE WHEN t.tokens < t.room THEN FLOOR(t.tokens) ELSE t.room END AS room,
        t.rate,
        t.rate_found,
        t.tokens
    FROM (
        SELECT
            b.is_closed,
            b.room,
            b.rate,
            b.rate_found,
            CASE
                WHEN b.tokens + b.rate * b.elapsed < b.burst THEN b.tokens + b.rate * b.elapsed
                ELSE b.burst
            END AS tokens
        FROM (
            SELECT
                r.is_closed,
                r.room,
                r.elapsed,
                r.rate_found,
                COALESCE(r.rate_found, r.rate) AS rate,
                COALESCE(r.tokens, r.burst) AS tokens,
                CASE WHEN r.burst < 1 THEN 1 ELSE r.burst END AS burst
            FROM (
                SELECT
                    f.is_closed,
                    f.room,
                    f.elapsed,
                    f.tokens,
                    f.rate,
                    f.rate_found,
                    CASE WHEN f.burst < f.rate_found OR f.rate_found IS NULL THEN f.burst ELSE f.rate_found END AS burst
                FROM (
                    SELECT
                        e.is_closed,
                        e.room,
                        e.elapsed,
                        e.tokens,
                        e.rate,
                        COALESCE(e.burst, e.rate) AS burst,
                        CASE WHEN e.grown < COALESCE(e.rate, 1000) THEN e.grown END AS rate_found
                    FROM (
                        SELECT
                            s.is_closed,
                            s.tokens,
                            s.elapsed,
                            s.rate_found * (1 + 0.05 * s.elapsed) AS grown,
                            CASE
                                WHEN s.is_closed = 1 AND s.probe_at <= @now THEN 1
                                WHEN s.is_closed = 1 OR s.rest_until > @now THEN 0
                                ELSE COALESCE(g.room, @room)
                            END AS room,
                            g.rate,
                            g.burst
                        FROM (
                            SELECT
                                MAX(
                                    CASE WHEN a.held_at IS NULL AND a.tripped_at IS NULL THEN 0 ELSE 1 END
                                ) AS is_closed,
                                MAX(a.probe_at) AS probe_at,
                                MAX(a.rest_until) AS rest_until,
                                MAX(a.tokens) AS tokens,
                                MAX(a.rate_found) AS rate_found,
                                MAX(
                                    CASE
                                        WHEN a.tokens_at IS NULL OR a.tokens_at > @now THEN 0
                                        WHEN a.tokens_at < DATEADD(HOUR, -1, @now) THEN 3600
                                        ELSE DATEDIFF(MILLISECOND, a.tokens_at, @now) / 1000.0
                                    END
                                ) AS elapsed
                            FROM afil.account AS a
                            WHERE a.name = @account
                        ) AS s
                        LEFT JOIN (
                            SELECT n.text AS account, j.room, j.rate, j.burst
                            FROM OPENJSON(@accounts) WITH (
                                account NVARCHAR(1000),
                                room INT,
                                rate FLOAT,
                                burst FLOAT
                            ) AS j
                            CROSS APPLY afil.json_text(j.account) AS n
                        ) AS g ON g.account = @account
                    ) AS e
                ) AS f
            ) AS r
        ) AS b
    ) AS t
);
GO
