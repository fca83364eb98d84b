"""The chat API: its contract (methods), one call (AfilnetClient), what it answers (Reply)."""

from __future__ import annotations

from afilsql.api.client import DEFAULT_URL, AfilnetClient
from afilsql.api.methods import ERROR_CODES, METHODS
from afilsql.api.reply import Channel, Chat, Message, Reply

__all__ = ["DEFAULT_URL", "ERROR_CODES", "METHODS", "AfilnetClient", "Channel", "Chat", "Message", "Reply"]
