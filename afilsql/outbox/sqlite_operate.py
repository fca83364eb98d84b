"""What an operator does to the embedded outbox: pause, resume, cancel and resolve.

The twin of sql/procedures/pause.sql, resume.sql, cancel.sql and resolve.sql. Each runs in the caller's write
transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from afilsql.errors import InvalidParameter, RequestNotFound
from afilsql.outbox.sqlite_enqueue import default_tries
from afilsql.outbox.sqlite_rows import stored

#: What may be said of an uncertain request.
OUTCOMES = ("arrived", "send again")


def is_paused(cursor: sqlite3.Cursor) -> bool:
    """Whether nothing is taken from the queue."""
    found = cursor.execute("SELECT 1 FROM setting WHERE name = 'paused' AND value = '1'")
    return found.fetchone() is not None


def pause(cursor: sqlite3.Cursor, account: str | None, reason: str, *, user: str, now: datetime) -> None:
    """Stop taking requests: of one account, or all. Raises InvalidParameter."""
    if account is not None and not 1 <= len(account) <= 128:
        raise InvalidParameter("@account must be the name of an account, 1 to 128 characters long, or NULL for all")
    if not 1 <= len(reason) <= 400:
        raise InvalidParameter("@reason must say why, in 1 to 400 characters")
    if account is None:
        cursor.execute("UPDATE setting SET value = '1' WHERE name = 'paused'")
    else:
        cursor.execute("INSERT OR IGNORE INTO account (name) VALUES (?)", (account,))
        cursor.execute(
            "UPDATE account SET held_at = ?, held_reason = ?, tripped_at = NULL, probe_at = NULL, probe_id = NULL "
            "WHERE name = ?",
            (stored(now), reason, account),
        )
    of_account = "" if account is None else f"{account}: "
    _log(cursor, now, "paused" if account is None else "account_held", f"{of_account}{reason} ({user})")


def resume(cursor: sqlite3.Cursor, *, user: str, now: datetime) -> bool:
    """End the pause of everything; return False when nothing was paused."""
    cursor.execute("UPDATE setting SET value = '0' WHERE name = 'paused' AND value = '1'")
    if not cursor.rowcount:
        return False
    _log(cursor, now, "resumed", user)
    return True


def cancel(cursor: sqlite3.Cursor, ids: Sequence[int], *, now: datetime) -> int:
    """Take waiting requests out of the queue; return how many. What is being sent right now is not stopped."""
    cancelled = 0
    for id in dict.fromkeys(ids):
        row = cursor.execute(
            "SELECT conversation FROM outbox WHERE id = ? AND status IN ('queued', 'scheduled')", (id,)
        ).fetchone()
        if row is None:
            continue
        cursor.execute(
            "UPDATE outbox SET status = 'cancelled', turn = NULL, completed_at = ? WHERE id = ?", (stored(now), id)
        )
        _step_forward(cursor, row["conversation"])
        cancelled += 1
    return cancelled


def resolve(cursor: sqlite3.Cursor, id: int, outcome: str, *, user: str, now: datetime) -> str:
    """Settle an uncertain request; return its status. Raises InvalidParameter, RequestNotFound."""
    if outcome not in OUTCOMES:
        raise InvalidParameter(f"@outcome is not one of {', '.join(OUTCOMES)}")
    row = cursor.execute("SELECT status, conversation, unknown_since FROM outbox WHERE id = ?", (id,)).fetchone()
    if row is None or row["status"] != "uncertain":
        state = "does not exist" if row is None else f"is {row['status']}"
        raise RequestNotFound(f"request {id} {state}, not uncertain: afil.uncertain_items lists those that are")
    common = "error_code = NULL, check_at = NULL, lease_id = NULL"
    if outcome == "arrived":
        cursor.execute(
            "UPDATE outbox SET status = 'sent', turn = NULL, completed_at = COALESCE(completed_at, ?), "
            f"unknown_since = NULL, {common} WHERE id = ?",
            (stored(now), id),
        )
        _step_forward(cursor, row["conversation"])  # while it was being read back, its conversation waited
    else:
        cursor.execute(
            "UPDATE outbox SET status = 'queued', turn = 0, due_at = ?, max_attempts = attempts + ?, "
            f"completed_at = NULL, {common} WHERE id = ?",
            (stored(now), default_tries(cursor.execute), id),
        )
    _log(cursor, now, "resolved", f"{id}: {outcome} ({user})")
    return "sent" if outcome == "arrived" else "queued"


def _step_forward(cursor: sqlite3.Cursor, conversation: str) -> None:
    """Where no row of a conversation is at its turn, its next one is looked at again."""
    cursor.execute(
        "UPDATE outbox SET turn = 0 WHERE id = (SELECT MIN(id) FROM outbox WHERE conversation = ? AND turn = 2) "
        "AND NOT EXISTS (SELECT 1 FROM outbox WHERE conversation = ? AND turn = 1)",
        (conversation, conversation),
    )


def _log(cursor: sqlite3.Cursor, now: datetime, event: str, detail: str) -> None:
    cursor.execute(
        "INSERT INTO event_log (logged_at, event, detail) VALUES (?, ?, ?)", (stored(now), event, detail[:1000])
    )
