SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Keep channels. Part of afil.receive, inside its transaction.

EXEC afil.receive_channels @account = N'example', @rows = N'[]', @now = '2026-01-01';

Returns  0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.receive_channels @account NVARCHAR(128), @rows NVARCHAR(MAX), @now DATETIME2(3)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @row TABLE (
        n INT NOT NULL PRIMARY KEY,
        platform NVARCHAR(20) NOT NULL,
        platformid NVARCHAR(100) NOT NULL,
        name NVARCHAR(400) NULL
    );
    INSERT INTO @row (n, platform, platformid, name)
    SELECT n, platform, platformid, name FROM afil.received_rows(@rows);
    DELETE FROM @row
    WHERE n NOT IN (SELECT MAX(n) FROM @row GROUP BY platform, platformid);

    UPDATE c
    SET name = r.name, updated_at = @now
    FROM afil.chat_channel AS c
    INNER JOIN @row AS r ON r.platform = c.platform AND r.platformid = c.platformid
    WHERE c.account = @account AND COALESCE(c.name, N'') <> COALESCE(r.name, N'');
    INSERT INTO afil.chat_channel (account, platform, platformid, name, updated_at)
    SELECT @account, r.platform, r.platformid, r.name, @now
    FROM @row AS r
    WHERE NOT EXISTS (
            SELECT 1
            FROM afil.chat_channel AS c
            WHERE c.account = @account AND c.platform = r.platform AND c.platformid = r.platformid
        );
    RETURN 0;
END;
GO
