SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
Put failed, uncertain or cancelled requests back in the queue, with a fresh set of tries.

EXEC afil.requeue @ids = N'[12, 13]';

Returns  a row: requeued int; 0
Errors   51001 @ids is not a JSON array
Grants   afil_operator
*/
CREATE OR ALTER PROCEDURE afil.requeue @ids NVARCHAR(MAX)
AS
BEGIN
    SET NOCOUNT, XACT_ABORT ON;
    DECLARE @more INT;
    IF @ids IS NULL OR ISJSON(@ids) = 0
        THROW 51001, '@ids is not a JSON array of request ids: write [12, 13]', 1;
    SELECT @more = CAST(value AS INT) FROM afil.setting WHERE name = 'max_attempts';

    UPDATE afil.outbox
    SET
        status = 'queued',
        turn = 0,
        due_at = SYSUTCDATETIME(),
        max_attempts = attempts + COALESCE(@more, 8),
        completed_at = NULL,
        error_code = NULL,
        http_status = NULL
    WHERE status IN ('failed', 'uncertain', 'cancelled') AND id IN (SELECT CAST(value AS BIGINT) FROM OPENJSON(@ids));
    SELECT @@ROWCOUNT AS requeued;
    RETURN 0;
END;
GO
