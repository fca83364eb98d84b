"""Between SQL Server's rows and JSON and our records: requests, results, claims, items and times."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from afilsql.outbox.records import (
    STATUSES,
    Account,
    Check,
    Claim,
    Entry,
    Item,
    Known,
    Limit,
    QueueStatus,
    Request,
    Result,
    Status,
    Subscription,
)

#: Columns of afil.all_items that an Item takes.
ITEM = (
    "id, request_id, account, method, platform, platformid, destination, message, type, fileurl, thumburl, priority, "
    "status, due_at, attempts, max_attempts, created_at, created_by, completed_at, error_code, http_status, dedup_key, "
    "messageid, delivery_status"
)
_PARAMETERS = ("platform", "platformid", "destination", "message", "type", "fileurl", "thumburl")


def json_of(value: object) -> str:
    """JSON with the characters as they are: half the bytes of \\u escapes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def request_fields(r: Request) -> dict[str, object]:
    body: dict[str, object] = dict(r.parameters)
    body |= {"method": r.method, "account": r.account, "priority": r.priority}
    if r.send_at is not None:
        body["send_at"] = _naive(r.send_at)
    if r.dedup_key is not None:
        body["dedup_key"] = r.dedup_key
    if r.max_attempts is not None:
        body["max_attempts"] = r.max_attempts
    return body


def account_fields(a: Account) -> dict[str, str]:
    return {"name": a.name, "platforms": ",".join(a.platforms)} if a.platforms else {"name": a.name}


def account_of(row: Any) -> Account:
    return Account(row.name, tuple(row.platforms.split(",")) if row.platforms else ())


def result_fields(n: int, r: Result) -> dict[str, object]:
    fields: dict[str, object] = {
        "n": n,
        "id": r.id,
        "lease_id": str(r.lease_id),
        "attempt": r.attempt,
        "kind": r.kind,
        "started_at": _naive(r.started_at),
        "duration_ms": r.duration_ms,
        "http_status": r.http_status,
        "error_code": r.error_code and r.error_code[:100],
        "detail": r.detail and r.detail[:400],
        "retry_ms": int(r.retry_in * 1000),
        "look_ms": None if r.look_in is None else int(r.look_in * 1000),
        "unknown": 1 if r.unknown else None,
        "healthy": None if r.healthy is None else int(r.healthy),
    }
    return {k: v for k, v in fields.items() if v is not None}


def limit_fields(limit: Limit) -> dict[str, object]:
    fields = {"account": limit.account, "room": limit.room, "rate": limit.rate, "burst": limit.burst}
    return {k: v for k, v in fields.items() if v is not None}


def check_of(row: Any, now: datetime, known: Sequence[Any]) -> Claim:
    """A claim to be read back; `known` holds the rows of all such claims."""
    others = [
        Known(int(k.id), bool(k.is_certain), utc(k.taken_at), tuple(t for t in (k.message, k.fileurl) if t))
        for k in known
        if k.for_id == row.id
    ]
    check = Check(utc(now), utc(row.unknown_since), utc(row.taken_at), others)
    return replace(claim_of(row), check=check)


def claim_of(row: Any) -> Claim:
    parameters = {p: v for p in _PARAMETERS if (v := getattr(row, p)) is not None and v != ""}
    return Claim(
        id=int(row.id),
        request_id=UUID(str(row.request_id)),
        account=row.account,
        method=row.method,
        parameters=parameters,
        attempt=row.attempts,
        max_attempts=row.max_attempts,
        lease_id=UUID(str(row.lease_id)),
        probe=bool(row.is_probe),
        poll=bool(row.is_poll),
    )


def item_of(row: Any) -> Item:
    parameters: Mapping[str, str] = {p: v for p in _PARAMETERS if (v := getattr(row, p)) is not None and v != ""}
    return Item(
        id=int(row.id),
        request_id=UUID(str(row.request_id)),
        account=row.account,
        method=row.method,
        parameters=parameters,
        priority=row.priority,
        status=row.status,
        due_at=utc(row.due_at),
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        created_at=utc(row.created_at),
        created_by=row.created_by,
        completed_at=utc(row.completed_at),
        error_code=row.error_code,
        http_status=row.http_status,
        dedup_key=row.dedup_key,
        messageid=row.messageid,
        delivery_status=row.delivery_status,
    )


def received_fields(row: Mapping[str, Any]) -> dict[str, object]:
    """A row of an answer's list as afil.receive reads it."""
    sent, dated_at = row.get("sent"), row.get("dated_at")
    fields = {**row, "sent": None if sent is None else int(sent), "dated_at": dated_at and _naive(dated_at)}
    return {k: v for k, v in fields.items() if v is not None}


def subscription_of(row: Any) -> Subscription:
    return Subscription(
        id=int(row.id),
        account=row.account,
        platform=row.platform,
        platformid=row.platformid,
        destination=row.destination,
        every_seconds=row.every_seconds,
        unread_only=bool(row.unread_only),
        next_at=utc(row.next_at),
        last_at=utc(row.last_at),
        failures=row.failures,
        error_code=row.error_code,
        created_by=row.created_by,
    )


def entry_of(row: Any) -> Entry:
    return Entry(
        at=utc(row.at),
        account=row.account,
        sent=None if row.sent is None else bool(row.sent),
        message=row.message,
        status=row.status,
        messageid=row.messageid,
        request_id=None if row.id is None else int(row.id),
        row_id=None if row.row_id is None else int(row.row_id),
    )


def status_of(
    found: Sequence[Any], now: datetime, held: Sequence[Any], workers: Sequence[Any], known: Sequence[Any]
) -> QueueStatus:
    counts: dict[Status, int] = dict.fromkeys(STATUSES, 0) | {r.status: r.items for r in found}
    waiting = [r.oldest_due_at for r in found if r.status in ("queued", "sending")]
    oldest = max(0.0, (now - min(waiting)).total_seconds()) if waiting else None
    return QueueStatus(
        counts,
        oldest,
        [(h[0], h[1] or "") for h in held],
        [(w[0], (now - w[1]).total_seconds()) for w in workers],
        [account_of(a) for a in known],
    )


def first_row(cursor: Any) -> Any:
    """The first row of the first result set, whatever counts of rows come before; an error among them surfaces here."""
    while cursor.description is None and cursor.nextset():
        pass
    return cursor.fetchone()


def utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _naive(value: datetime) -> str:
    """UTC without a zone, to the millisecond: what datetime2(3) reads."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
