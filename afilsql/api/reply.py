"""What a successful call answers: a Reply with typed rows.

Servers differ in small ways (numbers as text, `issent` for `sent`, the list with or without a
wrapper); rows come out of here in one form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from afilsql.api.methods import METHODS, ListKind

#: Entries of a list that are taken; 10 MB hold no more that say anything, but millions that are empty.
MAX_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of the account. A field the answer left out is None."""

    platformid: str | None
    platform: str | None
    name: str | None


@dataclass(frozen=True, slots=True)
class Chat:
    """One chat of a channel with its latest message. A field the answer left out is None."""

    platformid: str | None
    platform: str | None
    message: str | None
    destination: str | None
    messageid: str | None
    sent: bool | None
    status: str | None
    datetime: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat. `sent` is True when the account sent it, False when it received it."""

    platformid: str | None
    platform: str | None
    message: str | None
    destination: str | None
    messageid: str | None
    sent: bool | None
    status: str | None
    datetime: str | None


Row = Channel | Chat | Message


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer.

    Attributes:
        method: The method that was called.
        http_status: HTTP status of the answer.
        rows: The answer's list; empty for sends.
        text: The answer as it came, the account's password masked should the server echo it.
    """

    method: str
    http_status: int
    rows: tuple[Row, ...]
    text: str

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The rows of getchatchannels; of other methods none."""
        return tuple(row for row in self.rows if isinstance(row, Channel))

    @property
    def chats(self) -> tuple[Chat, ...]:
        """The rows of getchats; of other methods none."""
        return tuple(row for row in self.rows if isinstance(row, Chat))

    @property
    def messages(self) -> tuple[Message, ...]:
        """The rows of getmessages and getunreadmessages; of other methods none."""
        return tuple(row for row in self.rows if isinstance(row, Message))

    def dicts(self) -> list[dict[str, Any]]:
        """Return the rows as dicts with the API's field names, `issent` already `sent`."""
        return [asdict(row) for row in self.rows]


def rows_from(method: str, result: object) -> tuple[Row, ...]:
    """Return the typed rows of an answer's `result`; none for a send.

    Args:
        method: Name of one of METHODS.
        result: `{"list": [...]}`, or the list itself.

    Raises:
        ValueError: A get-method's result holds no list of objects. The message says what it holds.
    """
    kind = METHODS[method].returns
    if kind is None:
        return ()
    items = result
    if isinstance(result, Mapping):
        if "list" not in result:
            raise ValueError("its result holds no list")
        items = result["list"] if result["list"] is not None else []
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise ValueError(f"its list is {_kind_name(items)}, not a list")
    if len(items) > MAX_ROWS:
        raise ValueError(f"its list has {len(items)} entries, more than {MAX_ROWS}")
    rows: list[Row] = []
    for number, item in enumerate(items, start=1):
        if not isinstance(item, Mapping):
            raise ValueError(f"entry {number} of its list is {_kind_name(item)}, not an object")
        rows.append(_row(kind, item))
    return tuple(rows)


def _row(kind: ListKind, item: Mapping[str, object]) -> Row:
    if kind == "channels":
        return Channel(*(_text(item.get(name)) for name in ("platformid", "platform", "name")))
    row = Chat if kind == "chats" else Message
    return row(
        platformid=_text(item.get("platformid")),
        platform=_text(item.get("platform")),
        message=_text(item.get("message")),
        destination=_text(item.get("destination")),
        messageid=_text(item.get("messageid")),
        sent=_flag(item["sent"] if item.get("sent") is not None else item.get("issent")),
        status=_text(item.get("status")),
        datetime=_text(item.get("datetime")),
    )


def _text(value: object) -> str | None:
    """Return any JSON value as text a database can store."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if text.isascii():
        return text.replace("\x00", "\ufffd")
    # JSON can escape half a surrogate pair, which no encoding can write.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\x00", "\ufffd")


def _flag(value: object) -> bool | None:
    word = str(value).strip().lower()
    if word in ("true", "1", "yes"):
        return True
    if word in ("false", "0", "no"):
        return False
    return None


def _kind_name(value: object) -> str:
    if isinstance(value, Mapping):
        return "an object"
    return {str: "text", bool: "a truth value", int: "a number", float: "a number", list: "a list"}.get(
        type(value), "empty"
    )
