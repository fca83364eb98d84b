CREATE OR ALTER PROCEDURE dbo.notify_customer
    @phone varchar(20),
    @text varchar(160),
    @picture varchar(300) = NULL,
    @thumb varchar(300) = NULL
AS
BEGIN
    SET NOCOUNT ON;
    DECLARE @token nvarchar(50) = N'Zx9!planted&secret', @obj int, @hr int, @status int, @body nvarchar(max);

    SET @body = 'class=chat&method=sendfile&user=shop%40example.com&password=' + @token
        + '&platform=whatsapp&platformid=100&destination=' + @phone
        + '&type=image&fileurl=' + @picture;
    IF @thumb IS NOT NULL
        SET @body = @body + '&thumburl=' + @thumb;
    SET @body = @body + ISNULL('&message=' + @text, '');

    EXEC @hr = master..sp_OACreate 'MSXML2.ServerXMLHTTP.6.0', @obj OUT;
    IF @hr <> 0
    BEGIN
        EXEC sp_OAGetErrorInfo @obj;
        RETURN 1;
    END;
    EXEC @hr = sp_OAMethod @obj, 'open', NULL, 'POST', 'https://www.afilnet.com/api/http/', false;
    EXEC @hr = sp_OAMethod @obj, 'setRequestHeader', NULL, 'Content-Type', 'application/x-www-form-urlencoded';
    EXEC @hr = sp_OAMethod @obj, 'send', NULL, @body;
    EXEC @hr = sp_OAGetProperty @obj, 'status', @status OUT;
    EXEC @hr = sp_OADestroy @obj;
    RETURN 0;
END;
