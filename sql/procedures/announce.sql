SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Make the accounts of a worker's settings known, each with the platforms it may use. Once any is known, requests of an
account that is not are refused. A worker does this when it starts; what is known stays so when it stops, until
afil.forget_account.

EXEC afil.announce @accounts = N'[{"name": "default"}, {"name": "example", "platforms": "whatsapp,telegram"}]';

Returns  0
Errors   51001 not a JSON array, or a name or its platforms are missing or too long; 51010 another session is at the same
Grants   afil_worker
*/
CREATE OR ALTER PROCEDURE afil.announce
    @accounts NVARCHAR(MAX) /* JSON array of {"name", "platforms"}: names joined by commas, left out for all */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @known TABLE (
        name NVARCHAR(128) NOT NULL PRIMARY KEY,
        platforms NVARCHAR(100) NULL
    );
    IF @accounts IS NULL OR ISJSON(@accounts) = 0 OR LEFT(LTRIM(@accounts), 1) <> N'['
        THROW 51001, '@accounts is not a JSON array: write [{"name": …, "platforms": "whatsapp,telegram"}, …]', 1;
    IF EXISTS (
           SELECT 1
           FROM OPENJSON(@accounts) AS j
           CROSS APPLY OPENJSON(CASE WHEN j.type = 5 THEN j.value ELSE N'{}' END) WITH (
               name NVARCHAR(MAX),
               platforms NVARCHAR(MAX)
           ) AS v
           WHERE v.name IS NULL OR LEN(v.name) NOT BETWEEN 1 AND 128 OR LEN(v.platforms) NOT BETWEEN 1 AND 100
       )
        THROW 51001, '@accounts: each needs a name of 1 to 128 characters, and platforms of 1 to 100 or none', 1;
    /* The database's collation may hold two of the names for one. */
    INSERT INTO @known (name, platforms)
    SELECT MIN(name), MIN(platforms)
    FROM OPENJSON(@accounts) WITH (
        name NVARCHAR(128),
        platforms NVARCHAR(100)
    )
    GROUP BY name;

    BEGIN TRY
        BEGIN TRANSACTION;
        EXEC afil.lock_name @name = N'account';
        UPDATE a
        SET name = k.name, announced_at = SYSUTCDATETIME(), platforms = k.platforms
        FROM afil.account AS a
        INNER JOIN @known AS k ON k.name = a.name;
        INSERT INTO afil.account (name, announced_at, platforms)
        SELECT k.name, SYSUTCDATETIME(), k.platforms
        FROM @known AS k
        WHERE NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = k.name);
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
