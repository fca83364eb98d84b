"""Between rows of the embedded database and our records: times, claims, items, and rows of the lists it keeps."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from afilsql.outbox.lists import Which, asked
from afilsql.outbox.records import STATUSES, Attempt, Check, Claim, Item, ItemDetail, Known, QueueStatus, Status

PARAMETERS = ("platform", "platformid", "destination", "message", "type", "fileurl", "thumburl")
_LISTS = {"channels": "chat_channel", "chats": "chat", "messages": "chat_message"}
_TIMES = ("updated_at", "dated_at", "seen_at", "poll_at")
_FLAGS = ("sent", "is_backlog", "is_new")


def stored(time: datetime) -> str:
    """UTC without a zone, to the microsecond: the form in which SQLAlchemy keeps a DateTime in SQLite."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cut(value: Any, width: int | None) -> Any:
    """Text shortened to its column; anything else as it is."""
    return value[:width] if isinstance(value, str) else value


def _parameters(row: sqlite3.Row) -> dict[str, str]:
    return {p: row[p] for p in PARAMETERS if row[p]}


def claim_of(row: sqlite3.Row, look: tuple[datetime, list[sqlite3.Row]] | None = None) -> Claim:
    """Return a row as a claim; one to be read back comes with the time now and what else its conversation was sent."""
    check = None
    if look is not None:
        now, known = look
        others = [
            Known(k["id"], bool(k["is_certain"]), time_of(k["taken_at"]), _texts(k["message"], k["fileurl"]))
            for k in known
        ]
        check = Check(now, time_of(row["unknown_since"]), time_of(row["taken_at"]), others)
    return Claim(
        id=row["id"],
        request_id=UUID(row["request_id"]),
        account=row["account"],
        method=row["method"],
        parameters=_parameters(row),
        attempt=row["attempts"],
        max_attempts=row["max_attempts"],
        lease_id=UUID(row["lease_id"]),
        probe=bool(row["is_probe"]),
        check=check,
        poll=row["subscription_id"] is not None,
        created_at=time_of(row["created_at"]),
        wanted_at=time_of(row["due_at" if row["attempts"] == 1 else "created_at"]),
        traceparent=row["traceparent"],
    )


def _texts(*texts: str | None) -> tuple[str, ...]:
    return tuple(text for text in texts if text)


def item_of(row: sqlite3.Row) -> Item:
    return Item(
        id=row["id"],
        request_id=UUID(row["request_id"]),
        account=row["account"],
        method=row["method"],
        parameters=_parameters(row),
        priority=row["priority"],
        status=row["status"],
        due_at=time_of(row["due_at"]),
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        created_at=time_of(row["created_at"]),
        created_by=row["created_by"],
        completed_at=time_of(row["completed_at"]) if row["completed_at"] else None,
        error_code=row["error_code"],
        http_status=row["http_status"],
        dedup_key=row["dedup_key"],
        messageid=row["messageid"],
        delivery_status=row["delivery_status"],
    )


def detail_of(cursor: sqlite3.Cursor, id: int) -> ItemDetail | None:
    """Return a request with its tries and its answer; None when there is none with this id."""
    row = cursor.execute("SELECT * FROM outbox WHERE id = ?", (id,)).fetchone()
    if row is None:
        return None
    tries = cursor.execute("SELECT * FROM attempt WHERE id = ? ORDER BY attempt", (id,)).fetchall()
    answer = cursor.execute("SELECT body FROM response WHERE id = ?", (id,)).fetchone()
    names = ("attempt", "started_at", "duration_ms", "http_status", "error_code", "detail", "worker")
    history = [Attempt(**{n: t[n] for n in names} | {"started_at": time_of(t["started_at"])}) for t in tries]
    return ItemDetail(item_of(row), history, answer["body"] if answer else None)


def list_rows(cursor: sqlite3.Cursor, kind: str, limit: int, which: Which) -> list[dict[str, Any]]:
    """Return rows of a list: `channels`, `chats` or `messages`. Raises InvalidParameter."""
    a = asked(kind, which)
    # The index of conversations would read all messages of a channel to find those after an id.
    by_id = "NOT INDEXED" if which.get("after") is not None and which.get("destination") is None else ""
    sql = f"SELECT * FROM {_LISTS[kind]} {by_id} {a.where} ORDER BY {a.order} LIMIT ?"
    rows = [dict(row) for row in cursor.execute(sql, (*a.values, limit))][:: -1 if a.newest_first else 1]
    for row in rows:
        row |= {name: time_of(row[name]) for name in _TIMES if row.get(name) is not None}
        row |= {name: bool(row[name]) for name in _FLAGS if row.get(name) is not None}
    return rows


def queue_status(cursor: sqlite3.Cursor, now: datetime) -> QueueStatus:
    """Return the queue at a glance."""
    found = cursor.execute("SELECT status, COUNT(*) AS n, MIN(due_at) AS due FROM outbox GROUP BY status").fetchall()
    counts: dict[Status, int] = dict.fromkeys(STATUSES, 0) | {r["status"]: r["n"] for r in found}
    waiting = [time_of(r["due"]) for r in found if r["status"] in ("queued", "sending")]
    return QueueStatus(
        counts,
        max(0.0, (now - min(waiting)).total_seconds()) if waiting else None,
        queue_held(cursor),
        queue_workers(cursor, now),
    )


def queue_held(cursor: sqlite3.Cursor) -> list[tuple[str, str]]:
    """Return (account, reason) of each that is held or whose breaker is open, by name."""
    held = cursor.execute(
        "SELECT name, CASE WHEN held_at IS NULL THEN 'BREAKER_OPEN: most calls failed' ELSE held_reason END "
        "AS held_reason FROM account WHERE held_at IS NOT NULL OR tripped_at IS NOT NULL ORDER BY name"
    )
    return [(h["name"], h["held_reason"] or "") for h in held]


def queue_workers(cursor: sqlite3.Cursor, now: datetime) -> list[tuple[str, float]]:
    """Return (name, seconds since its last exchange) of each worker, newest first."""
    workers = cursor.execute("SELECT * FROM worker ORDER BY seen_at DESC")
    return [(w["name"], (now - time_of(w["seen_at"])).total_seconds()) for w in workers]
