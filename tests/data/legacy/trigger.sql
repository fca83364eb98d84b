CREATE TRIGGER [dbo].[order shipped] ON dbo.orders AFTER INSERT, UPDATE
AS
IF UPDATE(state)
BEGIN
    DECLARE @id int, @phone varchar(20), @state nvarchar(20), @url nvarchar(1000), @obj int, @text varchar(8000);
    SELECT @id = id, @phone = phone, @state = state FROM inserted;
    BEGIN TRANSACTION;
    SET @url = N'https://www.afilnet.com/api/http/?class=chat&method=sendmessage&user=shop&password=planted-secret'
        + N'&platform=whatsapp&platformid=100&destination=' + @phone
        + N'&message=Order ' + CONVERT(nvarchar(10), @id) + N' is ' + @state;
    EXEC [master].[dbo].[sp_OACreate] 'WinHttp.WinHttpRequest.5.1', @obj OUTPUT;
    EXEC sp_OAMethod @obj, 'Open', NULL, 'GET', @url, 'false';
    EXEC sp_OAMethod @obj, 'Send';
    EXEC sp_OAGetProperty @obj, 'ResponseText', @text OUTPUT;
    EXEC sp_OADestroy @obj;
    COMMIT TRANSACTION;
END;
