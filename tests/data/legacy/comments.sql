/* EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT
   /* nested: EXEC sp_OAMethod @win, 'Open', NULL, 'GET', 'https://www.afilnet.com/api/http/' */
   still a comment */
-- EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT
-- EXEC sp_configure 'Ole Automation Procedures', 1
PRINT 'It''s gone: /* not a comment */ -- nor this';
SELECT [a'b], "c'd", 1e5, 0xFF FROM dbo.t WHERE x >= 1;
