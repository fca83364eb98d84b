SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Delete finished requests with their tries and answers, 500 at a time so that nobody waits for it. To have it done
day by day, set retention_days_sent and retention_days_failed with afil.configure.

Inside a caller's transaction it is part of that, and an error ends it.

EXEC afil.purge @status = 'sent', @older_than_days = 90;

Returns  a row: purged int; 0
Errors   51001 a parameter is missing or not allowed; 51010 another session holds the queue
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.purge
    @status VARCHAR(20), /* sent, failed, uncertain, cancelled */
    @older_than_days INT /* since it was finished; 0 is all */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @found INT = 500, @purged INT = 0;
    IF @status IS NULL OR @status NOT IN ('sent', 'failed', 'uncertain', 'cancelled')
        THROW 51001, '@status is not one of sent, failed, uncertain, cancelled: what is under way cannot be purged', 1;
    IF @older_than_days IS NULL OR @older_than_days NOT BETWEEN 0 AND 36500
        THROW 51001, '@older_than_days is not between 0 and 36500', 1;
    WHILE @found = 500
    BEGIN
        EXEC @found = afil.purge_batch @status = @status, @older_than_days = @older_than_days;
        SET @purged = @purged + @found;
    END;
    SELECT @purged AS purged;
    RETURN 0;
END;
GO
