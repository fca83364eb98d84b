SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Take waiting requests out of the queue: those named, or all that one notification wrote, or all of an account. What is
being sent right now is not stopped. afil.requeue puts a cancelled request back.

Inside a caller's transaction it is part of that, and an error ends it.

EXEC afil.cancel @ids = N'[12, 13]';
EXEC afil.cancel @notification = N'order_state';

Returns  a row: cancelled int; 0
Errors   51001 a parameter is not allowed, or none says which requests; 51010 another session holds the queue
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.cancel
    @ids NVARCHAR(MAX) = NULL, /* [12, 13] */
    @notification NVARCHAR(128) = NULL, /* every waiting request that this notification wrote */
    @account NVARCHAR(128) = NULL /* every waiting request of this account */
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED; /* for READPAST */
    DECLARE @last BIGINT = 0, @found INT = 1, @cancelled INT = 0;
    DECLARE @row TABLE (
        id BIGINT NOT NULL PRIMARY KEY,
        turn TINYINT NULL,
        conversation NVARCHAR(460) NOT NULL
    );
    DECLARE @next TABLE (
        id BIGINT NOT NULL PRIMARY KEY
    );
    IF @ids IS NULL AND @notification IS NULL AND @account IS NULL
        THROW 51001, 'say which requests: @ids = N''[12, 13]'', @notification = N''…'' or @account = N''…''', 1;
    IF ISJSON(COALESCE(@ids, N'[]')) = 0
       OR LEFT(LTRIM(COALESCE(@ids, N'[]')), 1) <> N'['
       OR EXISTS (SELECT 1 FROM OPENJSON(COALESCE(@ids, N'[]')) WHERE TRY_CONVERT(BIGINT, value) IS NULL)
        THROW 51001, '@ids is not a JSON array of request ids: write [12, 13]', 1;

    BEGIN TRY
        WHILE @found > 0
        BEGIN
            BEGIN TRANSACTION;
            EXEC afil.lock_line;
            DELETE FROM @row;
            INSERT INTO @row (id, turn, conversation)
            SELECT TOP (500) id, turn, conversation
            FROM afil.outbox WITH (READPAST, READCOMMITTEDLOCK)
            WHERE status IN ('queued', 'scheduled')
                AND id > @last
                AND (@ids IS NULL OR id IN (SELECT TRY_CONVERT(BIGINT, value) FROM OPENJSON(@ids)))
                AND (@notification IS NULL OR notification = @notification)
                AND (@account IS NULL OR account = @account)
            ORDER BY id;
            SET @found = @@ROWCOUNT;
            SELECT @last = MAX(id) FROM @row;

            UPDATE o
            SET status = 'cancelled', turn = NULL, completed_at = SYSUTCDATETIME()
            FROM afil.outbox AS o WITH (FORCESEEK)
            INNER JOIN @row AS r ON r.id = o.id;

            /* Where the one at its turn is gone, the next of the conversation steps forward. */
            DELETE FROM @next;
            INSERT INTO @next (id)
            SELECT DISTINCT v.id
            FROM (
                SELECT
                    (
                        SELECT MIN(n.id)
                        FROM afil.outbox AS n WITH (READPAST, READCOMMITTEDLOCK)
                        WHERE n.conversation = r.conversation AND n.turn = 2
                    ) AS id
                FROM @row AS r
                WHERE NOT EXISTS (
                        SELECT 1
                        FROM afil.outbox AS a WITH (READPAST, READCOMMITTEDLOCK)
                        WHERE a.conversation = r.conversation AND a.turn = 1
                    )
            ) AS v
            WHERE v.id IS NOT NULL;
            UPDATE o
            SET turn = 0
            FROM afil.outbox AS o WITH (FORCESEEK)
            INNER JOIN @next AS n ON n.id = o.id
            WHERE o.turn = 2;
            SET @cancelled = @cancelled + @found;
            COMMIT TRANSACTION;
        END;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;
    SELECT @cancelled AS cancelled;
    RETURN 0;
END;
GO
