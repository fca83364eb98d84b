"""Lists as the API brings them, and calls that bring them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from afilsql.outbox.records import Claim, Request
from tests.contract.conftest import Engine

CHANNEL = {"platform": "whatsapp", "platformid": "100"}


def message(id: str | None, text: str | None = "hi", *, at: datetime | None = None, **changed: Any) -> dict[str, Any]:
    """A message of the chat 1, received."""
    row = {**CHANNEL, "destination": "1", "messageid": id, "message": text, "sent": False, "status": "received"}
    return row | {"datetime": None if at is None else f"{at:%Y-%m-%d %H:%M:%S}", "dated_at": at} | changed


def chat(destination: str, **changed: Any) -> dict[str, Any]:
    """A chat of the channel, with a last message."""
    return message(f"last of {destination}", destination=destination) | changed


def ask(engine: Engine, method: str = "getmessages", destination: str = "1", account: str = "default") -> Claim:
    """Have somebody ask for a list; the call is under way."""
    parameters = CHANNEL if method == "getchats" else {**CHANNEL, "destination": destination}
    id = engine.outbox.enqueue(Request(method, parameters, account=account, priority=0))
    (claim,) = engine.take(1)
    assert claim.id == id
    return claim


def answer(engine: Engine, *messages: dict[str, Any], destination: str = "1") -> None:
    """Somebody asks for the messages of a chat, and gets these."""
    engine.receive(ask(engine, destination=destination), "messages", messages)


def poll(engine: Engine, kind: Any, *rows: dict[str, Any]) -> Claim:
    """A subscription asks for one list, of this kind, and gets these rows."""
    (claim,) = engine.take(1)
    assert (claim.method == "getchats") == (kind == "chats")
    engine.receive(claim, kind, rows)
    return claim


def waits(engine: Engine) -> dict[str, bool]:
    """The chats by destination: whether a subscription is about to ask for the messages of each."""
    found = engine.query("SELECT destination, CASE WHEN poll_at IS NULL THEN 0 ELSE 1 END FROM chat")
    return {destination: bool(is_waiting) for destination, is_waiting in found}


def backlog(engine: Engine) -> dict[str, bool]:
    """The chats by destination: whether each was there when its channel's subscription began, and was not read yet."""
    return {destination: bool(flag) for destination, flag in engine.query("SELECT destination, is_backlog FROM chat")}
