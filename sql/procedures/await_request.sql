SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Return once a request whose id is above @after is queued, or after @wait_ms, so that an idle worker need not ask often.

Holds nothing meanwhile: no transaction is open, ten looks a second take microseconds each, however many rows there are,
and pass by those that others have locked. A request that commits after one with a higher id may go unheard; workers
find it with their next exchange. requires: sqlserver (WAITFOR).

EXEC afil.await_request @after = 0, @wait_ms = 1000;

Returns  a row: latest bigint, the highest id there is; is_new bit, whether a request is queued that @after was not; 0
Errors   51001 a parameter is not allowed
Grants   afil_worker
*/
CREATE OR ALTER PROCEDURE afil.await_request
    @after BIGINT,
    @wait_ms INT /* 0 to 3600000 */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    DECLARE @until DATETIME2(3), @latest BIGINT, @new BIT = 0;
    IF @after IS NULL
        THROW 51001, '@after is missing: 0 is before all requests', 1;
    IF @wait_ms IS NULL OR @wait_ms NOT BETWEEN 0 AND 3600000
        THROW 51001, '@wait_ms is not between 0 and 3600000', 1;

    SET @until = DATEADD(MILLISECOND, @wait_ms, SYSUTCDATETIME());
    WHILE 1 = 1
    BEGIN
        SET @latest = (SELECT MAX(id) FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK));
        IF @latest > @after
        BEGIN
            /* Of many at once the newest will do, whatever became of the others. */
            IF @after < @latest - 1000
                SET @after = @latest - 1000;
            IF EXISTS (
                   SELECT 1
                   FROM afil.outbox WITH (FORCESEEK, READPAST, READCOMMITTEDLOCK)
                   WHERE id > @after AND status = 'queued'
               )
                SET @new = 1;
            SET @after = @latest;
        END;
        IF @new = 1 OR SYSUTCDATETIME() >= @until
            BREAK;
        WAITFOR DELAY '00:00:00.100';
    END;
    SELECT @after AS latest, @new AS is_new;
    RETURN 0;
END;
GO
