CREATE PROCEDURE dbo.greet @customer int, @note nvarchar(max), @channel int AS
DECLARE @base nvarchar(100) = N'https://www.afilnet.com/api/http/';
DECLARE @login nvarchar(100), @phone nvarchar(30), @win int;
DECLARE @url nvarchar(max);
EXEC dbo.read_login @login OUTPUT;
SET @phone = (SELECT phone FROM dbo.customer WHERE id = @customer);
SET @url = CONCAT(@base, '?class=chat&method=sendmessage&user=', @login, '&password=', dbo.read_secret('afilnet'),
    '&platform=whatsapp&platformid=', @channel, '&destination=', @phone,
    '&message=', dbo.fn_UrlEncode(@note), '%0A', 'Customer ', @customer);
EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;
EXEC sp_OAMethod @win, 'Open', NULL, 'GET', @url, 'false';
EXEC sp_OAMethod @win, 'Send';
DECLARE @reply TABLE (body nvarchar(max));
INSERT @reply (body) EXEC sp_OAGetProperty @win, 'ResponseText';
EXEC sp_OADestroy @win;
