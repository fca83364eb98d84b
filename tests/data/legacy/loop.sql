DECLARE @n int = 1, @url nvarchar(4000), @obj int, @name nvarchar(100), @phone varchar(30), @secret varchar(30);
SELECT @secret = value FROM dbo.setting WHERE name = 'afilnet';
WHILE @n <= (SELECT MAX(n) FROM dbo.todo)
BEGIN
    SELECT @name = name, @phone = phone FROM dbo.todo WHERE n = @n;
    SET @url = N'https://www.afilnet.com/api/http/?class=chat&method=sendmessage&user=shop&password=' + @secret
        + N'&platform=telegram&platformid=200&destination=' + @phone
        + N'&message=Hello%20' + @name + N',%20order%20' + CAST(@n AS varchar(10)) + N'%20has%20left.';
    EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @obj OUT;
    EXEC sp_OAMethod @obj, 'Open', NULL, 'GET', @url, 'false';
    EXEC sp_OAMethod @obj, 'Send';
    SET @n = @n + 1;
END;
EXEC sp_OADestroy @obj;
