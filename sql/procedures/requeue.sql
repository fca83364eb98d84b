SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Put failed, uncertain or cancelled requests back in the queue, with a fresh set of tries: those named, or all that
failed with a code.

Inside a caller's transaction it is part of that, and an error ends it.

EXEC afil.requeue @ids = N'[12, 13]';
EXEC afil.requeue @error_code = N'OVER_QUOTA', @account = N'default';

Returns  a row: requeued int; 0
Errors   51001 a parameter is not allowed, or none says which requests; 51010 another session holds the queue
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.requeue
    @ids NVARCHAR(MAX) = NULL, /* [12, 13] */
    @error_code NVARCHAR(100) = NULL, /* every failed request with this code */
    @account NVARCHAR(128) = NULL /* of this account only */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED; /* for READPAST */
    DECLARE @tries INT, @last BIGINT = 0, @found INT = 1, @requeued INT = 0;
    DECLARE @row TABLE (
        id BIGINT NOT NULL PRIMARY KEY
    );
    IF @ids IS NULL AND @error_code IS NULL
        THROW 51001, 'say which requests: @ids = N''[12, 13]'' or @error_code = N''…''', 1;
    IF @ids IS NOT NULL AND @error_code IS NOT NULL
        THROW 51001, '@ids and @error_code exclude each other: give one', 1;
    IF ISJSON(COALESCE(@ids, N'[]')) = 0
       OR LEFT(LTRIM(COALESCE(@ids, N'[]')), 1) <> N'['
       OR EXISTS (SELECT 1 FROM OPENJSON(COALESCE(@ids, N'[]')) WHERE TRY_CONVERT(BIGINT, value) IS NULL)
        THROW 51001, '@ids is not a JSON array of request ids: write [12, 13]', 1;
    SELECT @tries = CAST(value AS INT) FROM afil.setting WHERE name = 'max_attempts';

    BEGIN TRY
        WHILE @found > 0
        BEGIN
            BEGIN TRANSACTION;
            EXEC afil.lock_line;
            DELETE FROM @row;
            IF @ids IS NOT NULL
                INSERT INTO @row (id)
                SELECT TOP (500) o.id
                FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                WHERE o.id IN (SELECT TRY_CONVERT(BIGINT, value) FROM OPENJSON(@ids))
                    AND o.id > @last
                    AND o.status IN ('failed', 'uncertain', 'cancelled')
                    AND (@account IS NULL OR o.account = @account)
                ORDER BY o.id;
            ELSE
                INSERT INTO @row (id)
                SELECT TOP (500) id
                FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
                WHERE status = 'failed'
                    AND completed_at IS NOT NULL
                    AND error_code = @error_code
                    AND id > @last
                    AND (@account IS NULL OR account = @account)
                ORDER BY id;
            SET @found = @@ROWCOUNT;
            SELECT @last = MAX(id) FROM @row;

            UPDATE o
            SET
                status = 'queued',
                turn = 0,
                due_at = SYSUTCDATETIME(),
                max_attempts = o.attempts + @tries,
                completed_at = NULL,
                error_code = NULL,
                http_status = NULL,
                check_at = NULL,
                lease_id = NULL
            FROM afil.outbox AS o WITH (FORCESEEK)
            INNER JOIN @row AS r ON r.id = o.id;
            SET @requeued = @requeued + @found;
            COMMIT TRANSACTION;
        END;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;
    SELECT @requeued AS requeued;
    RETURN 0;
END;
GO
