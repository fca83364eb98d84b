"""The chat API: its contract (methods), one call (client), what it answers (reply), ways to write a call (transports)."""
