"""Keep the list of one answer in the embedded database: the twin of sql/procedures/receive.sql."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from afilsql.api.methods import ListKind
from afilsql.outbox.records import Claim
from afilsql.outbox.sqlite_recognize import recognize
from afilsql.outbox.sqlite_rows import cut, stored

_WIDTH = {
    "platform": 20,
    "platformid": 100,
    "destination": 200,
    "name": 400,
    "messageid": 100,
    "status": 50,
    "datetime": 50,
}
_COLUMNS = ("platform", "platformid", "destination", "name", "message", "messageid", "sent", "status", "datetime")
_CHAT = ("platform", "platformid", "destination")
#: What a chat says, and what a message says: where it differs, the row is written.
_CHAT_SAYS = ("message", "messageid", "sent", "status", "datetime")
_MESSAGE_SAYS = ("destination", "message", "sent", "status", "datetime")

#: A chat whose latest message is not listed yet is asked for again after AGAIN, until it has said nothing for LATELY.
AGAIN, LATELY = timedelta(seconds=15), timedelta(minutes=10)

Row = dict[str, Any]


def receive(
    cursor: sqlite3.Cursor, claim: Claim, kind: ListKind, rows: Sequence[Mapping[str, Any]], now: datetime
) -> bool:
    """Keep the rows on an open write transaction; return False, and keep nothing, when the lease was lost."""
    asked = cursor.execute(
        "SELECT o.subscription_id, s.destination, s.first_at, s.unread_only FROM outbox o "
        "LEFT JOIN subscription s ON s.id = o.subscription_id "
        "WHERE o.id = ? AND o.status = 'sending' AND o.lease_id = ? AND o.attempts = ?",
        (claim.id, claim.lease_id.hex, claim.attempt),
    ).fetchone()
    if asked is None:
        return False
    listed = [_row(row, claim.account, stored(now)) for row in rows]
    if kind == "channels":
        _save_channels(cursor, listed)
    elif kind == "chats":
        _save_chats(cursor, listed)
    else:
        _save_messages(cursor, listed, asked)
        asked_for = {p: claim.parameters.get(p, "") for p in _CHAT} | {"account": claim.account}
        _no_backlog(cursor, [*listed, asked_for])
        recognize(cursor, claim.account, claim.parameters)
        if asked["destination"] == "" and not asked["unread_only"]:
            _ask_again(cursor, asked_for, now)
    return True


def _row(row: Mapping[str, Any], account: str, now: str) -> Row:
    """Return a row as it is stored: cut to its columns, without gaps in its key."""
    dated_at = row.get("dated_at")
    cut_row = {c: cut(row.get(c), _WIDTH.get(c)) for c in _COLUMNS}
    key = {c: cut_row[c] or "" for c in _CHAT}
    return cut_row | key | {"account": account, "now": now, "dated_at": None if dated_at is None else stored(dated_at)}


def _save_channels(cursor: sqlite3.Cursor, rows: Sequence[Row]) -> None:
    cursor.executemany(
        "INSERT INTO chat_channel (account, platform, platformid, name, updated_at) "
        "VALUES (:account, :platform, :platformid, :name, :now) "
        "ON CONFLICT DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at "
        "WHERE name IS NOT excluded.name",
        rows,
    )


def _save_chats(cursor: sqlite3.Cursor, rows: Sequence[Row]) -> None:
    """Keep chats; of a channel with a subscription, note those whose messages are to be asked for."""
    set_ = ", ".join(f"{c} = excluded.{c}" for c in (*_CHAT_SAYS, "dated_at", "updated_at"))
    differs = " OR ".join(f"chat.{c} IS NOT excluded.{c}" for c in _CHAT_SAYS)
    subscribed = {
        c: _subscription_of(cursor, *c) for c in {(r["account"], r["platform"], r["platformid"]) for r in rows}
    }
    for row in _last_of_each(rows, lambda r: tuple(r[c] for c in _CHAT)):
        cursor.execute(
            "INSERT INTO chat (account, platform, platformid, destination, message, messageid, sent, status, datetime, "
            "dated_at, updated_at, is_backlog) VALUES (:account, :platform, :platformid, :destination, :message, "
            ":messageid, :sent, :status, :datetime, :dated_at, :now, 0) "
            f"ON CONFLICT (account, platform, platformid, destination) DO UPDATE SET {set_} WHERE {differs}",
            row,
        )
        changed = cursor.rowcount > 0
        subscription = subscribed[row["account"], row["platform"], row["platformid"]]
        if subscription is None:
            continue
        first = subscription["first_at"] is None
        if first or changed:
            # One that waits already keeps its place, or a chat that changes all the time would never be asked for.
            cursor.execute(
                "UPDATE chat SET poll_at = MIN(COALESCE(poll_at, :now), :now) WHERE account = :account "
                "AND platform = :platform AND platformid = :platformid AND destination = :destination",
                row,
            )
        if first and not _has_messages(cursor, row):
            cursor.execute(
                "UPDATE chat SET is_backlog = 1 WHERE account = :account "
                "AND platform = :platform AND platformid = :platformid AND destination = :destination",
                row,
            )


def _save_messages(cursor: sqlite3.Cursor, rows: Sequence[Row], asked: sqlite3.Row) -> None:
    """Keep messages in the order of time; those that came since we first looked are new."""
    chats = {tuple(r[c] for c in _CHAT): r for r in rows}
    is_new = {chat: _is_news(cursor, row, asked) for chat, row in chats.items()}
    set_ = ", ".join(f"{c} = excluded.{c}" for c in (*_MESSAGE_SAYS, "dated_at", "updated_at"))
    differs = " OR ".join(f"chat_message.{c} IS NOT excluded.{c}" for c in _MESSAGE_SAYS)
    unknown = [r for r in rows if r["messageid"] is not None or not _is_known(cursor, r)]
    cursor.executemany(
        "INSERT INTO chat_message (account, platform, platformid, destination, message, messageid, sent, status, "
        "datetime, dated_at, updated_at, seen_at, is_new) VALUES (:account, :platform, :platformid, :destination, "
        ":message, :messageid, :sent, :status, :datetime, :dated_at, :now, :now, :is_new) "
        "ON CONFLICT (account, platform, platformid, messageid) WHERE messageid IS NOT NULL "
        f"DO UPDATE SET {set_} WHERE {differs}",
        [r | {"is_new": is_new[tuple(r[c] for c in _CHAT)]} for r in _in_order_of_time(unknown)],
    )


def _in_order_of_time(rows: Sequence[Row]) -> list[Row]:
    """Return the rows as they came about; where one has no time, as they are listed. Of one message the last counts."""
    numbered = enumerate(rows)
    listed = [
        r
        for _, r in _last_of_each(numbered, lambda n: (n[1]["platform"], n[1]["platformid"], n[1]["messageid"] or n[0]))
    ]
    if not listed or any(r["dated_at"] is None for r in listed):
        return listed
    if listed[0]["dated_at"] > listed[-1]["dated_at"]:
        listed.reverse()
    return sorted(listed, key=lambda r: r["dated_at"])


def _last_of_each(rows: Iterable[Any], key: Any) -> list[Any]:
    """Return the last row of each key, in the order of the rows."""
    last: dict[Any, Any] = {}
    for row in rows:
        last.pop(key(row), None)
        last[key(row)] = row
    return list(last.values())


def _is_news(cursor: sqlite3.Cursor, row: Row, asked: sqlite3.Row) -> bool:
    """True when the messages of a row's chat came since we first looked there."""
    if _has_messages(cursor, row):
        return True
    if asked["destination"] is None:  # nobody's subscription asked
        return False
    if asked["destination"]:
        return asked["first_at"] is not None
    found = cursor.execute(
        "SELECT 1 FROM chat WHERE account = :account AND platform = :platform AND platformid = :platformid "
        "AND destination = :destination AND is_backlog = 0",
        row,
    )
    return found.fetchone() is not None


def _has_messages(cursor: sqlite3.Cursor, row: Row) -> bool:
    found = cursor.execute(
        "SELECT 1 FROM chat_message WHERE account = :account AND platform = :platform "
        "AND platformid = :platformid AND destination = :destination LIMIT 1",
        row,
    )
    return found.fetchone() is not None


def _is_known(cursor: sqlite3.Cursor, row: Row) -> bool:
    """True when a message without an id is here already, to the letter."""
    found = cursor.execute(
        "SELECT 1 FROM chat_message WHERE account = :account AND platform = :platform "
        "AND platformid = :platformid AND destination = :destination "
        "AND message IS :message AND datetime IS :datetime AND messageid IS NULL",
        row,
    )
    return found.fetchone() is not None


def _no_backlog(cursor: sqlite3.Cursor, rows: Sequence[Row]) -> None:
    """These chats were looked at: what comes from now on is new. A chat that lists nothing was looked at too."""
    cursor.executemany(
        "UPDATE chat SET is_backlog = 0 WHERE account = ? AND platform = ? AND platformid = ? AND destination = ? "
        "AND is_backlog IS NOT 0",
        {(r["account"], *(r[c] for c in _CHAT)) for r in rows},
    )


def _ask_again(cursor: sqlite3.Cursor, chat: Row, now: datetime) -> None:
    """Have a chat asked for once more whose latest message the API lists of its channel, but not of itself yet."""
    cursor.execute(
        "UPDATE chat SET poll_at = :later WHERE account = :account AND platform = :platform "
        "AND platformid = :platformid AND destination = :destination AND poll_at IS NULL AND updated_at > :lately "
        "AND messageid IS NOT NULL AND NOT EXISTS (SELECT 1 FROM chat_message m WHERE m.account = chat.account "
        "AND m.platform = chat.platform AND m.platformid = chat.platformid AND m.messageid = chat.messageid)",
        chat | {"later": stored(now + AGAIN), "lately": stored(now - LATELY)},
    )


def _subscription_of(cursor: sqlite3.Cursor, account: str, platform: str, platformid: str) -> sqlite3.Row | None:
    """Return the subscription to a channel."""
    row: sqlite3.Row | None = cursor.execute(
        "SELECT id, first_at FROM subscription WHERE account = ? AND platform = ? AND platformid = ? "
        "AND destination = ''",
        (account, platform, platformid),
    ).fetchone()
    return row
