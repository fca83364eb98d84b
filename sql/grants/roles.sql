SET ANSI_NULLS, QUOTED_IDENTIFIER ON;
GO
/*
What each role may do: EXECUTE on procedures, SELECT on views, nothing on tables. Applied last, for creating an object
anew loses its grants.

Returns  nothing
Errors   none
Grants   afil_sender, afil_reader, afil_worker, afil_operator
*/
GRANT EXECUTE ON afil.get_chat_channels TO afil_sender;
GRANT EXECUTE ON afil.get_chats TO afil_sender;
GRANT EXECUTE ON afil.get_messages TO afil_sender;
GRANT EXECUTE ON afil.get_unread_messages TO afil_sender;
GRANT EXECUTE ON afil.send_file TO afil_sender;
GRANT EXECUTE ON afil.send_message TO afil_sender;
GRANT EXECUTE ON afil.send_messages TO afil_sender;
GRANT EXECUTE ON afil.exchange TO afil_worker;
GRANT EXECUTE ON afil.release TO afil_worker;
GRANT EXECUTE ON afil.hold_account TO afil_operator;
GRANT EXECUTE ON afil.release_account TO afil_operator;
GRANT EXECUTE ON afil.requeue TO afil_operator;
GRANT SELECT ON afil.all_items TO afil_reader;
GRANT SELECT ON afil.attempts TO afil_reader;
GRANT SELECT ON afil.chat_channels TO afil_reader;
GRANT SELECT ON afil.chat_messages TO afil_reader;
GRANT SELECT ON afil.chats TO afil_reader;
GRANT SELECT ON afil.event_log_recent TO afil_reader;
GRANT SELECT ON afil.failed_items TO afil_reader;
GRANT SELECT ON afil.held_accounts TO afil_reader;
GRANT SELECT ON afil.queue_status TO afil_reader;
GRANT SELECT ON afil.responses TO afil_reader;
GRANT SELECT ON afil.sent_items TO afil_reader;
GRANT SELECT ON afil.uncertain_items TO afil_reader;
GRANT SELECT ON afil.unsent_items TO afil_reader;
GRANT SELECT ON afil.workers TO afil_reader;
GRANT SELECT ON afil.all_items TO afil_operator;
GRANT SELECT ON afil.attempts TO afil_operator;
GRANT SELECT ON afil.chat_channels TO afil_operator;
GRANT SELECT ON afil.chat_messages TO afil_operator;
GRANT SELECT ON afil.chats TO afil_operator;
GRANT SELECT ON afil.event_log_recent TO afil_operator;
GRANT SELECT ON afil.failed_items TO afil_operator;
GRANT SELECT ON afil.held_accounts TO afil_operator;
GRANT SELECT ON afil.queue_status TO afil_operator;
GRANT SELECT ON afil.responses TO afil_operator;
GRANT SELECT ON afil.sent_items TO afil_operator;
GRANT SELECT ON afil.uncertain_items TO afil_operator;
GRANT SELECT ON afil.unsent_items TO afil_operator;
GRANT SELECT ON afil.workers TO afil_operator;
GO
