SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Check one request and write it to the outbox. Internal: the six request procedures call it, nobody is granted it.

Parameters are wider than the columns, because T-SQL cuts an argument to its parameter's width without a word;
here a value that is too long is refused by name.

XACT_ABORT stays as the caller has it: one INSERT is whole or not there anyway, and with XACT_ABORT a refused message
would doom the caller's transaction, whose fate is the caller's to decide.

EXEC afil.enqueue @method = 'getchatchannels';

Returns  @id OUTPUT; 0, or with @wait_ms what afil.wait_answer returns
Errors   51001 a parameter is missing, too long or not allowed; 51004 @wait_ms inside a transaction, or on an engine without
         WAITFOR; 51005 the sender's quota is used up
Grants   none
*/
CREATE OR ALTER PROCEDURE afil.enqueue
    @method VARCHAR(20),
    @platform NVARCHAR(4000) = NULL,
    @platformid NVARCHAR(4000) = NULL,
    @destination NVARCHAR(4000) = NULL,
    @message NVARCHAR(MAX) = NULL,
    @type NVARCHAR(4000) = NULL,
    @fileurl NVARCHAR(4000) = NULL,
    @thumburl NVARCHAR(4000) = NULL,
    @account NVARCHAR(4000) = N'default',
    @priority INT = 5,
    @send_at DATETIME2(3) = NULL,
    @dedup_key NVARCHAR(4000) = NULL,
    @wait_ms INT = NULL,
    @traceparent NVARCHAR(4000) = NULL,
    @id BIGINT = NULL OUTPUT
AS
BEGIN
    SET NOCOUNT ON;
    /* What filtered indexes ask of a session that writes; old clients leave it off. */
    SET ANSI_PADDING, ANSI_WARNINGS, ARITHABORT, CONCAT_NULL_YIELDS_NULL ON;
    SET NUMERIC_ROUNDABORT OFF;
    DECLARE @fault NVARCHAR(2000), @conversation NVARCHAR(460), @max_attempts INT, @written INT, @code INT;
    DECLARE @now DATETIME2(3) = SYSUTCDATETIME();

    SELECT @fault = fault, @platform = platform, @type = type, @conversation = LEFT(conversation, 460)
    FROM afil.request_check(
        @method,
        @platform,
        @platformid,
        @destination,
        @message,
        @type,
        @fileurl,
        @thumburl,
        @account,
        @priority,
        @dedup_key,
        NULL
    );
    IF @fault IS NULL AND @traceparent IS NOT NULL
        SELECT @fault = fault FROM afil.traceparent_check(@traceparent);
    IF @fault IS NOT NULL
        THROW 51001, @fault, 1;
    IF @wait_ms NOT BETWEEN 1 AND 3600000
        THROW 51001, '@wait_ms is not between 1 and 3600000 milliseconds (an hour)', 1;
    IF @wait_ms IS NOT NULL AND @@TRANCOUNT > 0
        THROW 51004, '@wait_ms inside a transaction would wait for ever: the worker sees the request when you commit', 1;
    IF @wait_ms IS NOT NULL AND SERVERPROPERTY('Babelfish') IS NOT NULL
        THROW 51004, '@wait_ms needs WAITFOR, which this engine lacks: look at afil.my_items, or use afilsql with --wait', 1;

    SET @id = NULL;
    IF @dedup_key IS NOT NULL
        SELECT @id = id
        FROM afil.outbox WITH (UPDLOCK, HOLDLOCK)
        WHERE account = @account AND dedup_key = @dedup_key AND dedup_key IS NOT NULL;
    IF @id IS NOT NULL
    BEGIN
        IF @wait_ms IS NOT NULL
            EXEC @code = afil.wait_answer @id = @id, @wait_ms = @wait_ms;
        RETURN COALESCE(@code, 0);
    END;

    EXEC afil.check_quota @adding = 1;
    SELECT @max_attempts = CAST(value AS INT) FROM afil.setting WHERE name = 'max_attempts';

    /* The key is looked for again within the statement: in autocommit the look above keeps no lock. */
    INSERT INTO afil.outbox (
        request_id,
        account,
        method,
        platform,
        platformid,
        destination,
        message,
        type,
        fileurl,
        thumburl,
        priority,
        status,
        turn,
        due_at,
        attempts,
        max_attempts,
        dedup_key,
        conversation,
        created_at,
        created_by,
        traceparent
    )
    SELECT
        NEWID(),
        @account,
        @method,
        @platform,
        @platformid,
        @destination,
        @message,
        @type,
        @fileurl,
        @thumburl,
        @priority,
        CASE WHEN @send_at > @now THEN 'scheduled' ELSE 'queued' END,
        CASE WHEN @send_at > @now THEN NULL ELSE 0 END,
        CASE WHEN @send_at > @now THEN @send_at ELSE @now END,
        0,
        @max_attempts,
        @dedup_key,
        @conversation,
        @now,
        SUSER_SNAME(),
        @traceparent
    WHERE @dedup_key IS NULL
        OR NOT EXISTS (
            SELECT 1
            FROM afil.outbox WITH (UPDLOCK, HOLDLOCK)
            WHERE account = @account AND dedup_key = @dedup_key AND dedup_key IS NOT NULL
        );
    SET @written = @@ROWCOUNT;
    IF @written = 1
        SET @id = SCOPE_IDENTITY();
    ELSE
        SELECT @id = id FROM afil.outbox WITH (READCOMMITTEDLOCK) WHERE account = @account AND dedup_key = @dedup_key;
    IF @wait_ms IS NOT NULL
        EXEC @code = afil.wait_answer @id = @id, @wait_ms = @wait_ms;
    RETURN COALESCE(@code, 0);
END;
GO
