SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Give new rows their place in line: the first of a conversation gets turn 1, the rest turn 2. Part of
afil.exchange, inside its transaction and lock.

Each row is looked at once, best priority first, and finding a conversation's first row is an index seek,
so neither a long queue nor a long conversation slows it down.

EXEC afil.exchange_line @take = 32;

Returns  0
Errors   none of its own
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.exchange_line @take INT
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @pass INT = 0, @ready INT = 0, @found INT = 1;
    DECLARE @batch INT = CASE WHEN @take * 4 > 64 THEN @take * 4 ELSE 64 END;
    IF @batch > 500
        SET @batch = 500;
    DECLARE @new TABLE (
        id BIGINT NOT NULL PRIMARY KEY,
        conversation NVARCHAR(460) NOT NULL
    );
    DECLARE @line TABLE (
        conversation NVARCHAR(460) NOT NULL,
        first_new BIGINT NULL,
        first_behind BIGINT NULL
    );

    WHILE @found > 0 AND @pass < 10 AND @ready < @take
    BEGIN
        DELETE FROM @new;
        DELETE FROM @line;
        INSERT INTO @new (id, conversation)
        SELECT TOP (@batch) id, conversation
        FROM afil.outbox WITH (READPAST, ROWLOCK, READCOMMITTEDLOCK)
        WHERE status = 'queued' AND turn = 0
        ORDER BY priority, id;
        SET @found = @@ROWCOUNT;

        IF @found > 0
        BEGIN
            INSERT INTO @line (conversation, first_new, first_behind)
            SELECT
                c.conversation,
                (
                    SELECT MIN(o.id)
                    FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                    WHERE o.conversation = c.conversation AND o.turn = 0
                ),
                (
                    SELECT MIN(o.id)
                    FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
                    WHERE o.conversation = c.conversation AND o.turn = 2
                )
            FROM (
                SELECT DISTINCT conversation FROM @new
            ) AS c
            WHERE NOT EXISTS (
                    SELECT 1
                    FROM afil.outbox AS o WITH (READCOMMITTEDLOCK)
                    WHERE o.conversation = c.conversation AND o.turn = 1
                );

            UPDATE o
            SET turn = 2
            FROM afil.outbox AS o
            INNER JOIN @new AS n ON n.id = o.id
            WHERE o.turn = 0 AND o.status = 'queued';

            UPDATE afil.outbox
            SET turn = 1
            WHERE status = 'queued'
                AND turn IN (0, 2)
                AND id IN (
                    SELECT
                        CASE WHEN first_behind < first_new THEN first_behind ELSE COALESCE(first_new, first_behind) END
                    FROM @line
                );
        END;

        SELECT @ready = COUNT(*)
        FROM (
            SELECT TOP (@take) o.id
            FROM afil.outbox AS o WITH (READPAST, READCOMMITTEDLOCK)
            WHERE o.status = 'queued'
                AND o.turn = 1
                AND NOT EXISTS (SELECT 1 FROM afil.account AS a WHERE a.name = o.account AND a.held_at IS NOT NULL)
        ) AS r;
        SET @pass = @pass + 1;
    END;
    RETURN 0;
END;
GO
