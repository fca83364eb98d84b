SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The key under which requests keep their order: account, platform, platformid and destination, joined by U+001F.

SELECT afil.conversation_key(N'default', N'whatsapp', N'100', N'34600000000');

Returns  nvarchar(460)
Errors   none
Grants   none
*/
CREATE OR ALTER FUNCTION afil.conversation_key (
    @account NVARCHAR(128),
    @platform NVARCHAR(20),
    @platformid NVARCHAR(100),
    @destination NVARCHAR(200)
)
RETURNS NVARCHAR(460)
AS
BEGIN
    RETURN @account +
    NCHAR(31) +
    COALESCE(@platform, N'') +
    NCHAR(31) +
    COALESCE(@platformid, N'') +
    NCHAR(31) +
    COALESCE(@destination, N'');
END;
GO
