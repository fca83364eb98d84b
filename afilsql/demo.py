"""The demo: real messages through a real worker process to a simulated API, then a look at what happened."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from afilsql.deploy import migrate
from afilsql.display import clean, items_table, rows_table, table
from afilsql.errors import ConfigError, InvalidParameter
from afilsql.masking import masked_url
from afilsql.outbox import open_outbox
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import ItemDetail, Request, Status

if TYPE_CHECKING:
    from afilsql.sandbox import SandboxServer

ACCOUNT = "demo"
USER = PASSWORD = "demo"  # noqa: S105 - of the simulated API
#: Seconds; a worker that has not drained the demo by then is ended.
WORKER_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """One request of the demo and how it must end."""

    about: str
    request: Request
    status: Status = "sent"
    error_code: str | None = None
    attempts: int = 1


def steps(destination: str, other: str) -> list[Step]:
    """Return what the demo does.

    Args:
        destination: Whom most messages go to.
        other: Whom the message goes to that meets a fault first.
    """
    channel = {"platform": "whatsapp", "platformid": "100"}
    chat = {**channel, "destination": destination}

    def ask(method: str, **parameters: str) -> Request:
        return Request(method, parameters, account=ACCOUNT)

    return [
        Step("lists the channels", ask("getchatchannels")),
        Step("sends a text", ask("sendmessage", **chat, message="Your order left today. ✓")),
        Step("sends a file", ask("sendfile", **chat, type="image", fileurl="https://example.com/parcel.png")),
        Step("lists the chats", ask("getchats", **channel)),
        Step("lists the messages", ask("getmessages", **chat)),
        Step("lists the unread messages", ask("getunreadmessages", **chat)),
        Step(
            "meets a 503, then succeeds",
            ask("sendmessage", **{**chat, "destination": other}, message="[sandbox:503] Second time lucky."),
            attempts=2,
        ),
        Step(
            "names a channel that does not exist",
            ask("sendmessage", **{**chat, "platformid": "999"}, message="Nobody will read this."),
            status="failed",
            error_code="CHANNEL_NOT_FOUND",
        ),
    ]


def run(console: Console, *, url: str | None = None, folder: Path | None = None) -> bool:
    """Run the demo, print what happened, return whether everything was as expected.

    Args:
        console: Where to print.
        url: A database without waiting requests or running workers; None is an embedded one.
        folder: Where the embedded database goes; None makes a new folder.

    Raises:
        AfilsqlError: The database cannot be used, or is in use.
    """
    from afilsql.sandbox import SandboxServer

    if url is not None and folder is not None:
        raise InvalidParameter("--url and --folder exclude each other: give one")
    if url is None:
        folder = folder or Path(tempfile.mkdtemp(prefix="afilsql-demo-"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ConfigError(
                f"the folder {folder} cannot be made ({e.strerror}): name another with --folder"
            ) from None
        url = f"sqlite:///{(folder / 'afilsql.db').absolute().as_posix()}"
    migrate(url)
    destination, other = (f"34{secrets.randbelow(10**9):09d}" for _ in range(2))
    plan = steps(destination, other)
    with open_outbox(url) as outbox, SandboxServer(accounts={USER: PASSWORD}) as server:
        _require_unused(outbox, url)
        ids = outbox.enqueue_many([step.request for step in plan])
        ended = _drain(url, server.url)
        details = [outbox.get(id) for id in ids]
        wrong = [w for s, d in zip(plan, details, strict=True) if (w := _unexpected(s, d))]
        wrong += _not_received(server, plan, destination, other)
        if ended:
            wrong.append(ended)
        _report(console, outbox, plan, details, destination)
    for line in wrong:
        console.print(clean(f"NOT AS EXPECTED  {line}"), style="bold red")
    if not wrong:
        console.print(f"All {len(plan)} outcomes are as expected.", style="bold green")
    _next_steps(console, url, ids[-1])
    return not wrong


def _require_unused(outbox: Outbox, url: str) -> None:
    """Refuse a database in real use: the demo's worker would hand real messages to the simulated API."""
    status = outbox.status()
    waiting = sum(status.counts[s] for s in ("queued", "scheduled", "sending"))
    working = [name for name, seconds in status.workers if seconds < 30]
    if waiting or (working and not url.startswith("sqlite")):
        what = f"{waiting} waiting requests" if waiting else f"a running worker ({working[0]})"
        raise InvalidParameter(f"{masked_url(url)} has {what}: the demo needs a database that is not in use")


def _drain(url: str, api_url: str) -> str | None:
    """Run a worker process until nothing waits; return what went wrong with it, None if nothing did."""
    ours: Mapping[str, str] = {
        "AFILSQL_DATABASE_URL": url,
        "AFILSQL_API_URL": api_url,
        "AFILSQL_ACCOUNTS": json.dumps({ACCOUNT: {"user": USER, "password": PASSWORD}}),
        "AFILSQL_LOG_FORMAT": "json",
        "PYTHONIOENCODING": "utf-8",
    }
    inherited = {k: v for k, v in os.environ.items() if not k.upper().startswith("AFILSQL_")}
    command = [sys.executable, "-m", "afilsql", "worker", "--drain"]
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            command, env={**inherited, **ours}, capture_output=True, encoding="utf-8", timeout=WORKER_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return f"the worker had not finished after {WORKER_TIMEOUT:.0f} seconds"
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        return f"the worker ended with {done.returncode}: {last[0]}"
    return None


def _unexpected(step: Step, detail: ItemDetail) -> str | None:
    item = detail.item
    wanted = (step.status, step.error_code)
    if (item.status, item.error_code) != wanted:
        return f"request {item.id} ({step.about}) is {item.status} {item.error_code or ''}, not {step.status}"
    if len(detail.history) < step.attempts:
        return f"request {item.id} ({step.about}) took {len(detail.history)} tries, not {step.attempts}"
    return None


def _not_received(server: SandboxServer, plan: list[Step], destination: str, other: str) -> list[str]:
    """Compare with what the API saw: each send exactly once, its text unharmed."""
    sends = ("sendmessage", "sendfile")
    want = sorted(
        (s.request.method, s.request.parameters.get("destination") or "", s.request.parameters.get("message") or "")
        for s in plan
        if s.status == "sent" and s.request.method in sends
    )
    got = sorted(
        (call["method"], call["params"].get("destination", ""), call["params"].get("message", ""))
        for call in server.received
        if call["method"] in sends and call["params"].get("destination") in (destination, other)
    )
    return [] if got == want else [f"the API received {len(got)} sends that do not match the {len(want)} made"]


def _report(console: Console, outbox: Outbox, plan: list[Step], details: list[ItemDetail], destination: str) -> None:
    items = [d.item for d in details]
    console.print(items_table(items, title="What was sent"))
    failed = table("id", "what it does", "error", "why", title="What failed, and why")
    for step, detail in zip(plan, details, strict=True):
        for a in detail.history:
            if a.error_code:
                verdict = "failed" if detail.item.status == "failed" else f"try {a.attempt}, then {detail.item.status}"
                why = f"{a.detail or ''} ({verdict})"
                failed.add_row(str(detail.item.id), step.about, clean(a.error_code), clean(why))
    console.print(failed)
    for kind in ("channels", "chats", "messages"):
        rows = outbox.rows_of(kind, account=ACCOUNT)
        if kind != "channels":
            rows = [r for r in rows if r.get("destination") == destination]
        console.print(rows_table(kind, rows, title=f"What came back: {kind}"))


def _next_steps(console: Console, url: str, id: int) -> None:
    shown = masked_url(url)
    setting = f'$env:AFILSQL_DATABASE_URL = "{shown}"' if os.name == "nt" else f"export AFILSQL_DATABASE_URL='{shown}'"
    lines = (
        "The database is at " + shown,
        "Look around:",
        f"  {setting}",
        f"  afilsql show {id}",
        "  afilsql list",
    )
    more = ("Send for real: set AFILSQL_USER and AFILSQL_PASSWORD, run `afilsql worker`, then `afilsql send --help`.",)
    for line in (*lines, *more):
        console.print(clean(line), soft_wrap=True)
