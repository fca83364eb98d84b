create procedure dbo.remind
as
declare @destination varchar(20), @message nvarchar(200), @channel int
declare @url varchar(500), @win int, @hr int, @answer varchar(max)
declare due cursor local fast_forward for
    select c.phone, N'Dear ' + c.name + N', your invoice is due.', c.channel_id from dbo.customer as c where c.due = 1
open due
fetch next from due into @destination, @message, @channel
exec @hr = sp_OACreate 'Msxml2.XMLHTTP', @win out
while @@fetch_status = 0
begin
    set @url = 'http://afilnet.com/api/http/?class=chat&method=sendmessage&user=shop&password=planted-secret'
    set @url = @url + '&platform=whatsapp&platformid=' + cast(@channel as varchar) + '&destination=' + @destination
    set @url = @url + '&message=' + replace(@message, ' ', '%20')
    exec @hr = sp_OAMethod @win, 'open', null, 'get', @url, false
    exec @hr = sp_OAMethod @win, 'send'
    exec @hr = sp_OAGetProperty @win, 'responseText', @answer out
    fetch next from due into @destination, @message, @channel
end
exec @hr = sp_OADestroy @win
close due
deallocate due
