SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Show the database's settings, or change one. Workers and procedures use the new value at once.

Inside a caller's transaction it is part of that, and an error ends it.

EXEC afil.configure;
EXEC afil.configure @name = 'retention_days_sent', @value = 90;

Returns  a row a setting: name, value int, lowest int, highest int, meaning; 0
Errors   51001 there is no such setting, or the value is not allowed
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.configure
    @name NVARCHAR(128) = NULL, /* NULL shows all */
    @value INT = NULL /* NULL shows this one */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @fault NVARCHAR(2000), @before NVARCHAR(400), @lowest INT, @highest INT;
    IF @name IS NULL AND @value IS NOT NULL
        THROW 51001, '@name is missing: EXEC afil.configure; lists the settings', 1;
    IF @name = N'paused' AND @value IS NOT NULL
        THROW 51001, 'paused is set by afil.pause and afil.resume', 1;
    IF @name IS NOT NULL
    BEGIN
        SELECT @before = value, @lowest = lowest, @highest = highest FROM afil.setting WHERE name = @name;
        IF @before IS NULL
        BEGIN
            SELECT
                @fault = CONCAT(
                    N'@name ''',
                    @name,
                    N''' is not one of ',
                    STRING_AGG(name, N', ') WITHIN GROUP (ORDER BY name)
                )
            FROM afil.setting;
            THROW 51001, @fault, 1;
        END;
        IF @value NOT BETWEEN @lowest AND @highest
        BEGIN
            SET @fault = CONCAT(N'@value ', @value, N' is not between ', @lowest, N' and ', @highest, N' for ', @name);
            THROW 51001, @fault, 1;
        END;
    END;

    IF @value IS NOT NULL
    BEGIN
        UPDATE afil.setting
        SET value = CAST(@value AS NVARCHAR(400))
        WHERE name = @name;
        INSERT INTO afil.event_log (logged_at, event, detail)
        VALUES (
            SYSUTCDATETIME(),
            'configured',
            CONCAT(@name, N': ', @before, N' -> ', @value, N' (', SUSER_SNAME(), N')')
        );
    END;
    SELECT name, CAST(value AS INT) AS value, lowest, highest, meaning
    FROM afil.setting
    WHERE @name IS NULL OR name = @name
    ORDER BY name;
    RETURN 0;
END;
GO
