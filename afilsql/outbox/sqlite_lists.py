"""The lists that the get-methods bring, kept as rows of chat_channel, chat and chat_message in SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from afilsql.outbox.schema import chat, chat_channel, chat_message

_CHANNEL_KEY = ("account", "platform", "platformid")
_CHAT_KEY = (*_CHANNEL_KEY, "destination")
_MESSAGE_KEY = (*_CHANNEL_KEY, "messageid")


def save(
    connection: sa.Connection, kind: str, rows: Sequence[Mapping[str, Any]], *, account: str, now: datetime
) -> None:
    """Write one answer's list; the same list twice changes nothing but updated_at.

    Args:
        connection: In a transaction of the caller's.
        kind: channels, chats or messages; another kind is left alone.
        rows: Dicts with the API's field names. Of two rows with one key the later wins.
        account: The account that asked.
        now: UTC without a zone.
    """
    if kind == "channels":
        _upsert(connection, chat_channel, _CHANNEL_KEY, _values(chat_channel, rows, _CHANNEL_KEY, account, now))
    elif kind == "chats":
        _upsert(connection, chat, _CHAT_KEY, _values(chat, rows, _CHAT_KEY, account, now))
    elif kind == "messages":
        values = _values(chat_message, rows, _CHAT_KEY, account, now)
        _upsert(connection, chat_message, _MESSAGE_KEY, [v for v in values if v["messageid"] is not None])
        _insert_anonymous(connection, [v for v in values if v["messageid"] is None])


def _upsert(
    connection: sa.Connection, table: sa.Table, key: Sequence[str], values: Sequence[Mapping[str, Any]]
) -> None:
    if not values:
        return
    statement = insert(table)
    statement = statement.on_conflict_do_update(
        index_elements=list(key),
        index_where=sa.text("messageid IS NOT NULL") if table is chat_message else None,
        set_={name: statement.excluded[name] for name in values[0] if name not in key},
    )
    connection.execute(statement, values)


def _insert_anonymous(connection: sa.Connection, values: Iterable[dict[str, Any]]) -> None:
    """Messages without an id have no key: one is new when no stored one says the same at the same time."""
    c = chat_message.c
    for row in values:
        same = sa.select(sa.literal(1)).where(
            *(c[name] == row[name] for name in _CHAT_KEY),
            c.messageid.is_(None),
            sa.func.coalesce(c.datetime, "") == (row["datetime"] or ""),
            sa.func.coalesce(c.message, "") == (row["message"] or ""),
        )
        if connection.scalar(same.limit(1)) is None:
            connection.execute(sa.insert(chat_message).values(row))


def _values(
    table: sa.Table, rows: Sequence[Mapping[str, Any]], key: Sequence[str], account: str, now: datetime
) -> list[dict[str, Any]]:
    """The rows as the table's columns; a key part the answer left out is the empty text."""
    fields = [column for column in table.columns if column.name not in ("id", "account", "updated_at")]
    return [
        {
            "account": account,
            "updated_at": now,
            **{c.name: _fit(row.get(c.name), c, "" if c.name in key else None) for c in fields},
        }
        for row in rows
    ]


def _fit(value: Any, column: sa.Column[Any], missing: str | None) -> Any:
    """The value shortened to the column's width."""
    if value is None:
        return missing
    if isinstance(column.type, sa.Boolean):
        return bool(value)
    return str(value)[: getattr(column.type, "length", None)]
