"""What commands print: JSON for programs, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from afilsql import plain
from afilsql.outbox.records import Item, ItemDetail, QueueStatus, Subscription

_STYLE = {"sent": "green", "failed": "red", "uncertain": "yellow", "cancelled": "dim"}
_CHANNEL = ("platform", "platformid", "name")
_CHAT = ("platform", "platformid", "destination", "message", "status", "datetime")
_COLUMNS = {"channels": _CHANNEL, "chats": _CHAT, "messages": (*_CHAT[:4], "sent", *_CHAT[4:])}
#: Columns a table keeps when it is read by another program without --json.
_WIDTH_OFF_TERMINAL = 200


def console(*, stderr: bool = False) -> Console:
    """Return a console for standard output or standard error."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made = Console(stderr=stderr, highlight=False, width=_WIDTH_OFF_TERMINAL)
    return made


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON on standard output; on one line when `indent` is None."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(plain.json_escaped(json.dumps(value, indent=indent, ensure_ascii=not utf8, default=_plain)))


def item_dict(detail: ItemDetail) -> dict[str, Any]:
    """Return a request as plain values: its columns, the API's parameters by their names, tries and answer."""
    item = detail.item
    return {
        "id": item.id,
        "request_id": str(item.request_id),
        "account": item.account,
        "method": item.method,
        **item.parameters,
        "priority": item.priority,
        "status": item.status,
        "due_at": _plain(item.due_at),
        "attempts": item.attempts,
        "max_attempts": item.max_attempts,
        "created_at": _plain(item.created_at),
        "created_by": item.created_by,
        "completed_at": _plain(item.completed_at),
        "error_code": item.error_code,
        "http_status": item.http_status,
        "dedup_key": item.dedup_key,
        "history": [{k: _plain(v) for k, v in asdict(a).items()} for a in detail.history],
        "answer": _parsed(detail.answer),
    }


def status_dict(status: QueueStatus) -> dict[str, Any]:
    """Return the queue's state as plain values."""
    return {
        "counts": dict(status.counts),
        "oldest_waiting_seconds": status.oldest_waiting_seconds,
        "held": [{"account": account, "reason": reason} for account, reason in status.held],
        "workers": [{"name": name, "last_seen_seconds": seconds} for name, seconds in status.workers],
        "accounts": [{"name": a.name, "platforms": list(a.platforms) or None} for a in status.accounts],
    }


def items_table(items: Iterable[Item], *, title: str | None = None) -> Table:
    """Return a table of requests, a line each."""
    made = table("id", "method", "destination", "status", "tries", "HTTP", "error", "due (UTC)", title=title)
    for item in items:
        made.add_row(
            str(item.id),
            clean(item.method),
            clean(item.parameters.get("destination") or item.parameters.get("platform") or ""),
            Text(plain.replaced(item.status), style=_STYLE.get(item.status, "cyan")),
            str(item.attempts),
            str(item.http_status or ""),
            clean(item.error_code or ""),
            f"{item.due_at:%Y-%m-%d %H:%M:%S}",
        )
    return made


def detail_table(detail: ItemDetail) -> Table:
    """Return everything about one request, a value a line."""
    made = table("", "", title=f"Request {detail.item.id}", header=False)
    for key, value in item_dict(detail).items():
        if key == "history":
            for a in detail.history:
                outcome = " ".join(str(v) for v in (a.http_status, a.error_code, a.detail) if v)
                made.add_row(f"try {a.attempt}", clean(f"{a.started_at:%H:%M:%S} {a.duration_ms} ms {outcome}"))
        elif value is not None:
            made.add_row(key, clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return made


def rows_table(kind: str, rows: Sequence[Mapping[str, Any]], *, title: str | None = None) -> Table:
    """Return rows that the API brought; `kind` is channels, chats or messages."""
    columns = _COLUMNS[kind]
    made = table(*columns, title=title)
    for row in rows:
        made.add_row(*(clean("" if row.get(c) is None else str(_plain(row[c]))) for c in columns))
    return made


def status_tables(status: QueueStatus) -> list[Table]:
    """Return the queue's state: counts, then workers, known and held accounts where there are any."""
    counts = table("status", "requests", title="Queue")
    for state, count in status.counts.items():
        counts.add_row(Text(state, style=_STYLE.get(state, "")), str(count))
    if status.oldest_waiting_seconds is not None:
        counts.add_row("oldest waiting", f"{status.oldest_waiting_seconds:.0f} s")
    made = [counts]
    if status.workers:
        workers = table("worker", "last seen", title="Workers")
        for name, seconds in status.workers:
            workers.add_row(clean(name), f"{seconds:.0f} s ago")
        made.append(workers)
    if status.accounts:
        known = table("account", "platforms", title="Known accounts")
        for account in status.accounts:
            known.add_row(clean(account.name), clean(", ".join(account.platforms) or "all"))
        made.append(known)
    if status.held:
        held = table("account", "held because", title="Held accounts")
        for name, reason in status.held:
            held.add_row(clean(name), clean(reason))
        made.append(held)
    return made


def subscription_dict(subscription: Subscription) -> dict[str, Any]:
    """Return a subscription as plain values."""
    return {name: _plain(value) for name, value in asdict(subscription).items()}


def subscriptions_tables(subscriptions: Sequence[Subscription], now: datetime) -> list[Table]:
    """Return subscriptions, times told from `now` (UTC), and how those that fail do so, if any does."""
    made = table("id", "account", "channel", "chat", "every", "next", "answered", title="Subscriptions")
    for s in subscriptions:
        made.add_row(
            str(s.id),
            clean(s.account),
            clean(f"{s.platform} {s.platformid}"),
            clean((s.destination or "all") + (", unread" if s.unread_only else "")),
            _short(_span(s.every_seconds)),
            _short("now" if s.next_at <= now else f"in {_span((s.next_at - now).total_seconds())}"),
            _short("never" if s.last_at is None else f"{_span((now - s.last_at).total_seconds())} ago"),
        )
    broken = [s for s in subscriptions if s.error_code is not None]
    if not broken:
        return [made]
    failing = table("id", "channel", "failures", "error", title="Failing subscriptions")
    for s in broken:
        place = " ".join(p for p in (s.platform, s.platformid, s.destination) if p)
        failing.add_row(str(s.id), clean(place), str(s.failures), clean(s.error_code or ""))
    return [made, failing]


def _short(text: str) -> Text:
    return Text(text, no_wrap=True)


def _span(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def table(*columns: str, title: str | None = None, header: bool = True) -> Table:
    """Return an empty table in the house style."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_header=header)
    for name in columns:
        made.add_column(
            name, justify="right" if name in ("id", "tries", "HTTP", "requests") else "left", overflow="fold"
        )
    return made


def clean(text: str) -> Text:
    """Return text fit for a terminal: no markup is read in it, and no control character reaches the screen."""
    return Text(plain.replaced(text))


def _parsed(answer: str | None) -> Any:
    if answer is None:
        return None
    try:
        return json.loads(answer)
    except ValueError:
        return answer


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return value
