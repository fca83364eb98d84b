DECLARE @win int, @url varchar(500), @base varchar(200), @fso int;
EXEC sp_OACreate 'Scripting.FileSystemObject', @fso OUT;
EXEC sp_OADestroy @fso;
SET @url = 'https://user:planted-secret@api.example.com/send?to=34600000000';
EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;
EXEC sp_OAMethod @win, 'Open', NULL, 'GET', @url, 'false';
EXEC sp_OAMethod @win, 'Send';
EXEC sp_OADestroy @win;
GO
-- A host that only looks like the API's.
DECLARE @win int;
EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;
EXEC sp_OAMethod @win, 'Open', NULL, 'GET', 'https://www.afilnet.com.example.net/?class=chat', 'false';
EXEC sp_OADestroy @win;
