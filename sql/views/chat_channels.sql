SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
The channels that afil.get_chat_channels brought; times are UTC.

SELECT * FROM afil.chat_channels;

Returns  a row each
Errors   none
Grants   afil_reader, afil_operator
*/
CREATE OR ALTER VIEW afil.chat_channels
AS
SELECT account, platform, platformid, name, updated_at FROM afil.chat_channel;
GO
