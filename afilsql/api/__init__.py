"""The chat API: its contract (methods), one call (client), its answer (reply), ways to write a call (transports)."""
