SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
What is wrong with the URL of a file, to stand behind the parameter's name; NULL when nothing is. The API's servers
fetch the URL: one that leads to a private place would have them read what only their own network may see, and a user
or password in it would stand in a table. The setting allow_private_urls lets any host pass.

The rules are those of afilsql/api/fileurl.py; a test holds the two together. Nothing in here can raise, for triggers
call it; BIN2, for in other collations the range a-z holds accented letters too.

SELECT afil.url_fault(N'http://169.254.169.254/latest/meta-data/');

Returns  nvarchar(400)
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.url_fault (@url NVARCHAR(4000))
RETURNS NVARCHAR(400)
AS
BEGIN
    DECLARE @shown NVARCHAR(100) = N'''' + LEFT(@url, 80) + N''' ';
    DECLARE
        @not_a_host NVARCHAR(200) = N'names no host: write letters, digits, dots and hyphens, an international name in its xn-- form',
        @private NVARCHAR(200) = N'points to a private place, which the API''s servers shall not fetch: give a public URL, or set allow_private_urls';
    DECLARE @allowed NVARCHAR(65) = N'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-';
    DECLARE @host NVARCHAR(4000), @last NVARCHAR(4000), @colon INT, @a INT, @b INT, @c INT, @d INT;

    IF @url NOT LIKE N'http://%' AND @url NOT LIKE N'https://%'
        RETURN @shown + N'is not a URL: it starts with http:// or https://';
    SET @host = SUBSTRING(@url, CHARINDEX(N'://', @url) + 3, 4000);
    SET @host = LEFT(@host, CHARINDEX(N'/', TRANSLATE(@host, N'?#', N'//') + N'/') - 1);
    IF CHARINDEX(N'@', @host COLLATE Latin1_General_BIN2) > 0
        RETURN N'holds a user or password before its host, which would stand in a table: take it out of the URL';
    IF EXISTS (SELECT 1 FROM afil.setting WHERE name = 'allow_private_urls' AND value = N'1')
        RETURN NULL;

    /* The port. */
    SET @colon = CHARINDEX(N':', REVERSE(@host));
    IF @colon > 0 AND RIGHT(@host, @colon - 1) COLLATE Latin1_General_BIN2 NOT LIKE N'%[^0-9]%'
        SET @host = LEFT(@host, LEN(@host + N'.') - 1 - @colon);

    /* IPv6: 2000::/3 is what is routed; in it 2001::/23 (Teredo and other wrappings) and 2002::/16 (6to4) can hide IPv4. */
    IF LEFT(@host, 1) = N'['
        RETURN CASE
            WHEN @host COLLATE Latin1_General_BIN2 LIKE N'[[][23][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F]:%'
            AND RIGHT(@host, 1) = N']'
            AND DATALENGTH(
                REPLACE(
                    TRANSLATE(
                        SUBSTRING(@host, 2, LEN(@host) - 2) COLLATE Latin1_General_BIN2,
                        N'0123456789abcdefABCDEF:',
                        REPLICATE(N'a', 23)
                    ),
                    N'a',
                    N''
                )
            ) = 0
            AND @host NOT LIKE N'[[]2002:%'
            AND @host NOT LIKE N'[[]2001::%'
            AND @host NOT LIKE N'[[]2001:_:%'
            AND @host NOT LIKE N'[[]2001:__:%'
            AND @host NOT LIKE N'[[]2001:[01]__:%'
            AND @host NOT LIKE N'[[]2001:0[01]__:%' THEN NULL
            ELSE @shown + @private
        END;

    IF DATALENGTH(REPLACE(TRANSLATE(@host COLLATE Latin1_General_BIN2, @allowed, REPLICATE(N'a', 65)), N'a', N'')) > 0
       OR REPLACE(@host, N'.', N'') = N''
       OR LEFT(@host, 1) = N'.'
       OR CHARINDEX(N'..', @host) > 0
        RETURN @shown + @not_a_host;
    SET @host = LOWER(@host COLLATE Latin1_General_BIN2);
    IF RIGHT(@host, 1) = N'.'
        SET @host = LEFT(@host, LEN(@host) - 1);
    SET @last = RIGHT(@host, CHARINDEX(N'.', REVERSE(N'.' + @host)) - 1);

    /* By the URL standard an IPv4 address, however it is spelled: 127.1, 0x7f000001. Only the plain spelling passes. */
    IF @last NOT LIKE N'%[^0-9]%' OR (LEFT(@last, 2) = N'0x' AND SUBSTRING(@last, 3, 4000) NOT LIKE N'%[^0-9a-f]%')
    BEGIN
        IF LEN(@host) <= 15
           AND LEN(@host) - LEN(REPLACE(@host, N'.', N'')) = 3
           AND N'.' + @host NOT LIKE N'%.0[0-9a-fx]%'
            SELECT
                @a = TRY_CONVERT(INT, PARSENAME(@host, 4)),
                @b = TRY_CONVERT(INT, PARSENAME(@host, 3)),
                @c = TRY_CONVERT(INT, PARSENAME(@host, 2)),
                @d = TRY_CONVERT(INT, PARSENAME(@host, 1));
        RETURN CASE
            WHEN @a BETWEEN 1 AND 223
            AND @b BETWEEN 0 AND 255
            AND @c BETWEEN 0 AND 255
            AND @d BETWEEN 0 AND 255
            AND @host NOT LIKE N'%-%'
            AND @a NOT IN (10, 127)
            AND NOT (@a = 100 AND @b BETWEEN 64 AND 127)
            AND NOT (@a = 169 AND @b = 254)
            AND NOT (@a = 172 AND @b BETWEEN 16 AND 31)
            AND NOT (@a = 192 AND (@b = 168 OR (@b = 0 AND @c = 0)))
            AND NOT (@a = 198 AND @b IN (18, 19)) THEN NULL
            ELSE @shown + @private
        END;
    END;

    RETURN CASE
        WHEN CHARINDEX(N'.', @host) = 0
        OR @last IN (
            N'local',
            N'localhost',
            N'localdomain',
            N'internal',
            N'intranet',
            N'private',
            N'corp',
            N'home',
            N'lan'
        )
        OR N'.' + @host LIKE N'%.home.arpa' THEN @shown + @private
    END;
END;
GO
