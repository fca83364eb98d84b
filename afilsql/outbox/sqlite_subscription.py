"""Subscriptions in the embedded database: the twin of sql/procedures/subscribe.sql and unsubscribe.sql."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from afilsql.outbox.records import Subscription
from afilsql.outbox.sqlite_rows import stored, time_of

Key = tuple[str, str, str, str]
_FIND = "SELECT id FROM subscription WHERE account = ? AND platform = ? AND platformid = ? AND destination = ?"


def subscribe(
    cursor: sqlite3.Cursor, key: Key, *, every_seconds: int, unread_only: bool, user: str, now: datetime
) -> int:
    """Write or change the subscription of a key (account, platform, platformid, destination or ''); return its id."""
    time = stored(now)
    cursor.execute(
        "INSERT INTO subscription (account, platform, platformid, destination, every_seconds, unread_only, due_at, "
        "failures, created_at, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?) "
        "ON CONFLICT (account, platform, platformid, destination) DO UPDATE SET "
        "every_seconds = excluded.every_seconds, unread_only = excluded.unread_only, due_at = excluded.due_at",
        (*key, every_seconds, unread_only, time, time, user),
    )
    return int(cursor.execute(_FIND, key).fetchone()["id"])


def unsubscribe(cursor: sqlite3.Cursor, key: Key) -> bool:
    """Delete a subscription and what it was about to ask; return False when there is none."""
    found = cursor.execute(_FIND, key).fetchone()
    if found is None:
        return False
    cursor.execute("DELETE FROM subscription WHERE id = ?", (found["id"],))
    # One in flight is let be: its answer is kept, and its end finds no subscription.
    cursor.execute("DELETE FROM outbox WHERE subscription_id = ? AND status IN ('queued', 'scheduled')", (found["id"],))
    account, platform, platformid, destination = key
    if not destination:
        cursor.execute(
            "UPDATE chat SET poll_at = NULL WHERE account = ? AND platform = ? AND platformid = ?",
            (account, platform, platformid),
        )
    return True


def subscriptions(cursor: sqlite3.Cursor) -> list[Subscription]:
    """Return all, by account, platform, channel and destination."""
    rows = cursor.execute("SELECT * FROM subscription ORDER BY account, platform, platformid, destination")
    return [
        Subscription(
            id=row["id"],
            account=row["account"],
            platform=row["platform"],
            platformid=row["platformid"],
            destination=row["destination"] or None,
            every_seconds=row["every_seconds"],
            unread_only=bool(row["unread_only"]),
            next_at=time_of(row["due_at"]),
            last_at=time_of(row["last_at"]) if row["last_at"] else None,
            failures=row["failures"],
            error_code=row["error_code"],
            created_by=row["created_by"],
        )
        for row in rows
    ]
