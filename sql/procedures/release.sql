SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Give back rows that a worker took and did not call; the try is not counted.

EXEC afil.release @worker = N'example', @claims = N'[]';

Returns  a row: released int, how many were still this worker's; 0
Errors   51001 @claims is not a JSON array; 51010 another session holds the queue
Grants   afil_worker
*/
CREATE OR ALTER PROCEDURE afil.release
    @worker NVARCHAR(128),
    @claims NVARCHAR(MAX) /* [{"id", "lease_id", "attempt"}] */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @released INT;
    DECLARE @claim TABLE (
        id BIGINT NOT NULL,
        lease_id UNIQUEIDENTIFIER NOT NULL,
        attempt INT NOT NULL
    );
    IF @claims IS NULL OR ISJSON(@claims) = 0 OR LEFT(LTRIM(@claims), 1) <> N'['
        THROW 51001, '@claims is not a JSON array', 1;

    BEGIN TRY
        BEGIN TRANSACTION;
        EXEC afil.lock_line;
        INSERT INTO @claim (id, lease_id, attempt)
        SELECT id, lease_id, attempt
        FROM OPENJSON(@claims) WITH (
            id BIGINT,
            lease_id UNIQUEIDENTIFIER,
            attempt INT
        );
        UPDATE o
        SET status = 'queued', turn = 1, attempts = o.attempts - 1, lease_id = NULL, lease_until = NULL
        FROM afil.outbox AS o WITH (FORCESEEK)
        INNER JOIN @claim AS c ON c.id = o.id
        WHERE o.status = 'sending' AND o.lease_id = c.lease_id AND o.attempts = c.attempt;
        SET @released = @@ROWCOUNT;
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;
    SELECT @released AS released;
    RETURN 0;
END;
GO
