SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
End a subscription. What was received stays; its requests that wait are dropped, one under way ends as it would.

EXEC afil.unsubscribe @platform = N'whatsapp', @platformid = N'100';

Returns  a row: ended bit, 0 when there is none; 0
Errors   51001 a parameter is missing; 51010 another session holds the queue
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.unsubscribe
    @platform NVARCHAR(4000),
    @platformid NVARCHAR(4000),
    @destination NVARCHAR(4000) = NULL,
    @account NVARCHAR(4000) = N'default'
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @id BIGINT;
    IF @platform IS NULL OR @platformid IS NULL OR @account IS NULL
        THROW 51001, '@platform, @platformid and @account must name a subscription: afil.subscriptions lists them', 1;

    BEGIN TRY
        BEGIN TRANSACTION;
        EXEC afil.lock_line;
        SELECT @id = id
        FROM afil.subscription
        WHERE account = @account
            AND platform = @platform
            AND platformid = @platformid
            AND destination = COALESCE(@destination, N'');
        IF @id IS NOT NULL
        BEGIN
            DELETE FROM afil.outbox
            WHERE subscription_id = @id AND subscription_id IS NOT NULL AND status IN ('queued', 'scheduled');
            UPDATE afil.outbox
            SET subscription_id = NULL
            WHERE subscription_id = @id AND subscription_id IS NOT NULL;
            IF @destination IS NULL OR @destination = N''
                UPDATE afil.chat
                SET poll_at = NULL
                WHERE account = @account AND platform = @platform AND platformid = @platformid AND poll_at IS NOT NULL;
            DELETE FROM afil.subscription
            WHERE id = @id;
        END;
        COMMIT TRANSACTION;
    END TRY
    BEGIN CATCH
        IF XACT_STATE() <> 0
            ROLLBACK TRANSACTION;
        THROW;
    END CATCH;
    SELECT CAST(CASE WHEN @id IS NULL THEN 0 ELSE 1 END AS BIT) AS ended;
    RETURN 0;
END;
GO
