"""Rows and results for tests of the T-SQL surface, written and read directly."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Query = Callable[..., list[Any]]


def add(query: Query, status: str = "queued", **columns: object) -> int:
    """Write one request as it would stand in this status; columns override what is assumed."""
    finished = status in ("sent", "failed", "uncertain", "cancelled")
    values: dict[str, object] = {
        "account": "default",
        "method": "sendmessage",
        "platform": "whatsapp",
        "platformid": "100",
        "destination": "346",
        "message": "x",
        "priority": 5,
        "status": status,
        "turn": {"queued": 0, "sending": 1}.get(status),
        "attempts": 1 if finished or status == "sending" else 0,
        "max_attempts": 8,
        "created_by": "somebody",
        "error_code": "REFUSED" if status == "failed" else None,
    } | columns
    days = values.pop("days", 0)
    values.setdefault("conversation", f"{values['account']}|{values['destination']}")
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    sql = (
        f"INSERT INTO afil.outbox ({names}, request_id, due_at, created_at, completed_at) VALUES ({marks}, NEWID(), "
        f"DATEADD(DAY, {-int(str(days))}, SYSUTCDATETIME()), SYSUTCDATETIME(), "
        f"{f'DATEADD(DAY, {-int(str(days))}, SYSUTCDATETIME())' if finished else 'NULL'}); SELECT SCOPE_IDENTITY();"
    )
    return int(query(sql, *values.values())[0][0])


def many(query: Query, count: int, status: str, days: int = 0) -> None:
    """Write many finished requests in one statement."""
    query(
        "INSERT INTO afil.outbox (request_id, account, method, platform, platformid, destination, message, priority, "
        "status, due_at, attempts, max_attempts, conversation, created_at, created_by, completed_at) "
        f"SELECT TOP ({count}) NEWID(), N'default', 'sendmessage', 'whatsapp', N'100', N'346', N'x', 5, ?, "
        "SYSUTCDATETIME(), 1, 8, N'default|346', DATEADD(DAY, -1, SYSUTCDATETIME()), N'somebody', "
        f"DATEADD(DAY, {-days}, SYSUTCDATETIME()) FROM sys.all_columns AS a CROSS JOIN sys.all_columns AS b",
        status,
    )


def one(query: Query, id: int) -> Any:
    """The request as it stands."""
    return query("SELECT * FROM afil.outbox WHERE id = ?", id)[0]


def statuses(query: Query) -> list[str]:
    return [r[0] for r in query("SELECT status FROM afil.outbox ORDER BY id")]


def take(query: Query, count: int = 100) -> list[Any]:
    """What a worker is given now; no conversation ever has two in flight."""
    rows = query("EXEC afil.exchange @worker = N'w', @take = ?", count)
    flying = query(
        "SELECT conversation FROM afil.outbox WHERE status = 'sending' GROUP BY conversation HAVING COUNT(*) > 1"
    )
    assert flying == []
    return rows


def hand_in(query: Query, rows: list[Any], kind: str = "sent", **values: object) -> None:
    """Hand in one result for each of the rows taken."""
    results = [
        {
            "n": n,
            "id": row.id,
            "lease_id": str(row.lease_id),
            "attempt": row.attempts,
            "kind": kind,
            "started_at": "2026-01-01T00:00:00",
            "duration_ms": 1,
        }
        | values
        for n, row in enumerate(rows)
    ]
    query("EXEC afil.exchange @worker = N'w', @results = ?", json.dumps(results))


def sent_order(query: Query, batch: int = 100) -> list[int]:
    """Work the queue off; the ids in the order in which they were sent."""
    order: list[int] = []
    while rows := take(query, batch):
        order += [r.id for r in rows]
        hand_in(query, rows)
    return order


def events(query: Query) -> list[tuple[str, str]]:
    return [(r.event, r.detail) for r in query("SELECT event, detail FROM afil.event_log ORDER BY id")]
