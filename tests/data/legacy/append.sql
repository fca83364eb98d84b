DECLARE @url nvarchar(2000) = N'', @message nvarchar(500), @win int, @kind varchar(20) = 'audio', @urgent bit;
SET @message = N'Tom & Jerry: "100% off"';
SET @url += N'https://www.afilnet.com/api/http/';
SET @url += N'?class=chat&method=sendfile';
SET @url += N'&user=shop&password=planted-secret';
SET @url += N'&platform=whatsapp&platformid=100&destination=%2B34600000000';
SET @url += N'&type=' + @kind;
SET @url += N'&fileurl=https%3A%2F%2Fwww.example.com%2Fa%20b.mp3';
IF @urgent = 1
    SET @url += N'&message=' + @message;
SET @url += N'&colour=blue';
EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;
EXEC sp_OAMethod @win, 'Open', NULL, 'GET', @url, 'false';
EXEC sp_OAMethod @win, 'Send';
EXEC sp_OADestroy @win;
