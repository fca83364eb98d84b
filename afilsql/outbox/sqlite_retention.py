"""What the embedded database no longer keeps: the twin of sql/procedures/apply_retention.sql."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from afilsql.outbox.sqlite_rows import stored

#: Requests deleted in one transaction at most, of each status.
PURGE_BATCH = 500


def apply_retention(cursor: sqlite3.Cursor, now: datetime) -> bool:
    """Purge a batch of what the retention settings no longer keep; return True when another would find more."""
    kept = {
        r["name"]: int(r["value"])
        for r in cursor.execute("SELECT name, value FROM setting WHERE name LIKE 'retention%'")
    }
    more = False
    for status, days in (
        ("sent", kept["retention_days_sent"]),
        ("failed", kept["retention_days_failed"]),
        ("cancelled", kept["retention_days_failed"]),
    ):
        if days:
            before = stored(now - timedelta(days=days))
            more |= _purge(cursor, status, before) == PURGE_BATCH
    if kept["retention_days_log"]:
        before = stored(now - timedelta(days=kept["retention_days_log"]))
        cursor.execute("DELETE FROM event_log WHERE logged_at < ?", (before,))
    cursor.execute("DELETE FROM worker WHERE seen_at < ?", (stored(now - timedelta(days=7)),))
    return more


def _purge(cursor: sqlite3.Cursor, status: str, before: str) -> int:
    """Delete a batch of finished requests with their tries and answers; return how many."""
    found = cursor.execute(
        "SELECT id FROM outbox WHERE status = ? AND completed_at IS NOT NULL AND completed_at <= ? "
        "ORDER BY completed_at LIMIT ?",
        (status, before, PURGE_BATCH),
    ).fetchall()
    for table in ("attempt", "response", "outbox"):
        cursor.executemany(f"DELETE FROM {table} WHERE id = ?", [(row["id"],) for row in found])
    return len(found)
