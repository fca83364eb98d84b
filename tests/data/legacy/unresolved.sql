CREATE PROCEDURE dbo.call_api @base varchar(100), @method varchar(30), @rest varchar(500), @urgent bit AS
DECLARE @url varchar(1000) = @base + '?class=chat&method=' + @method + @rest, @win int;
EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;
EXEC sp_OAMethod @win, 'Open', NULL, 'GET', @url, 'false';
EXEC sp_OAMethod @win, 'Send';
EXEC sp_OADestroy @win;

SET @url = 'https://www.afilnet.com/api/http/?class=chat&method=' + @method + '&user=shop' + @rest;
EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;
EXEC sp_OAMethod @win, 'Open', NULL, 'GET', @url, 'false';
EXEC sp_OAMethod @win, 'Send';
EXEC sp_OADestroy @win;

SET @url = 'https://www.afilnet.com/api/http/?class=chat&method=sendmessage&platform=whatsapp&platformid=100' + @rest;
EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;
EXEC sp_OAMethod @win, 'Open', NULL, 'GET', @url, 'false';
EXEC sp_OAMethod @win, 'Send';
EXEC sp_OADestroy @win;

IF @urgent = 1
    SET @url = 'https://www.afilnet.com/api/http/?class=chat&method=getchats&platform=whatsapp&platformid=1';
ELSE
    SET @url = 'https://www.afilnet.com/api/http/?class=chat&method=getchats&platform=whatsapp&platformid=2';
EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;
EXEC sp_OAMethod @win, 'Open', NULL, 'GET', @url, 'false';
EXEC sp_OAMethod @win, 'Send';
EXEC sp_OADestroy @win;

SET @url = 'https://www.afilnet.com/api/http/?class=sms&method=sendsms&to=34600000000';
EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;
EXEC sp_OAMethod @win, 'Open', NULL, 'GET', @url, 'false';
EXEC sp_OAMethod @win, 'Send';
EXEC sp_OADestroy @win;
