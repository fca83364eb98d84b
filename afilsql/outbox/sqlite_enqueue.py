"""Write requests into the embedded database: the twin of sql/procedures/enqueue.sql."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from afilsql.outbox.base import conversation_key
from afilsql.outbox.records import Request
from afilsql.outbox.sqlite_rows import PARAMETERS, stored


def insert(cursor: sqlite3.Cursor, requests: Sequence[Request], now: datetime, user: str) -> list[int]:
    """Write checked requests on an open write transaction; return their ids, of one written before that one's."""
    ids = []
    max_attempts = default_tries(cursor)
    for r in requests:
        if r.dedup_key is not None:
            key = (r.account, r.dedup_key)
            found = cursor.execute("SELECT id FROM outbox WHERE account = ? AND dedup_key = ?", key).fetchone()
            if found:
                ids.append(int(found["id"]))
                continue
        later = r.send_at is not None and r.send_at > now
        cursor.execute(
            "INSERT INTO outbox (request_id, account, method, platform, platformid, destination, message, "
            "type, fileurl, thumburl, priority, status, turn, due_at, attempts, max_attempts, dedup_key, "
            "conversation, created_at, created_by, traceparent) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,0,?,?,?,?,?,?)",
            (
                uuid4().hex,
                r.account,
                r.method,
                *(r.parameters.get(p) for p in PARAMETERS),
                r.priority,
                "scheduled" if later else "queued",
                None if later else 0,
                stored(r.send_at if later and r.send_at else now),
                r.max_attempts or max_attempts,
                r.dedup_key,
                conversation_key(r.account, r.parameters),
                stored(now),
                user,
                r.traceparent,
            ),
        )
        ids.append(int(cursor.lastrowid or 0))
    return ids


def default_tries(cursor: sqlite3.Cursor) -> int:
    """Return the setting max_attempts."""
    row = cursor.execute("SELECT value FROM setting WHERE name = 'max_attempts'").fetchone()
    return int(row["value"]) if row else 8
