CREATE FUNCTION dbo.unread (@to varchar(20)) RETURNS nvarchar(4000) AS
BEGIN
    DECLARE @url varchar(300), @win int, @answer nvarchar(4000);
    SET @url = 'https://www.afilnet.com/api/http/?class=chat&method=getunreadmessages&user={u}&password={p}&platform=webchat&platformid=7&destination={to}';
    SET @url = REPLACE(@url, '{u}', 'shop');
    SET @url = REPLACE(@url, '{p}', 'planted-secret');
    SET @url = REPLACE(@url, '{to}', @to);
    EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;
    EXEC sp_OAMethod @win, 'Open', NULL, 'GET', @url, 'false';
    EXEC sp_OAMethod @win, 'Send';
    EXEC sp_OAGetProperty @win, 'ResponseText', @answer OUT;
    EXEC sp_OADestroy @win;
    RETURN @answer;
END;
