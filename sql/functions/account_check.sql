SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Whether workers know an account, and whether it may use a platform: a code and a sentence, both NULL when nothing is
wrong. Names must be equal to the letter, trailing spaces too, since a worker looks them up so in its settings. While no
account is known, as in a database that no worker has met, every name passes.

NOLOCK: an exchange writes rates to these rows, and neither is to wait for the other; what is read here seldom changes.

SELECT code, fault FROM afil.account_check(N'default', N'whatsapp');

Returns  a row: code UNKNOWN_ACCOUNT or PLATFORM_NOT_ALLOWED, fault nvarchar
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.account_check (@account NVARCHAR(4000), @platform NVARCHAR(4000))
RETURNS TABLE AS RETURN (
    SELECT
        c.code,
        CASE c.code
            WHEN 'UNKNOWN_ACCOUNT' THEN CONCAT(
                N'@account ''',
                LEFT(@account, 128),
                N''' is not known to any worker (known: ',
                (
                    SELECT
                        STRING_AGG(CASE WHEN k.place > 10 THEN N'…' ELSE k.name END, N', ') WITHIN GROUP (
                            ORDER BY k.place
                        )
                    FROM (
                        SELECT TOP (11) name, ROW_NUMBER() OVER (ORDER BY name) AS place
                        FROM afil.account WITH (NOLOCK)
                        WHERE announced_at IS NOT NULL
                        ORDER BY name
                    ) AS k
                ),
                N'): correct it, or add it to the worker''s settings and start the worker'
            )
            WHEN 'PLATFORM_NOT_ALLOWED' THEN CONCAT(
                N'@platform ''',
                LEFT(@platform, 80),
                N''' is not one of the account ''',
                LEFT(@account, 128),
                N''', which has ',
                c.platforms,
                N': use another account, or add it to this one''s platforms in the worker''s settings and start the worker'
            )
        END AS fault
    FROM (
        SELECT
            a.platforms,
            CASE
                WHEN a.name IS NULL THEN CASE
                    WHEN EXISTS (
                        SELECT 1 FROM afil.account WITH (NOLOCK) WHERE announced_at IS NOT NULL
                    ) THEN 'UNKNOWN_ACCOUNT'
                END
                WHEN CHARINDEX(N',' + @platform + N',', N',' + a.platforms + N',') = 0 THEN 'PLATFORM_NOT_ALLOWED'
            END AS code
        FROM (
            SELECT 1 AS one
        ) AS always
        LEFT OUTER JOIN afil.account AS a WITH (NOLOCK)
            ON a.name = @account
                AND a.name + N'.' = @account + N'.' COLLATE Latin1_General_BIN2
                AND a.announced_at IS NOT NULL
    ) AS c
);
GO
