"""Commands that keep running: worker, sandbox; and demo."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from afilsql.cli.context import Exit, outbox_of, settings_of
from afilsql.errors import ConfigError, InvalidParameter

if TYPE_CHECKING:
    from afilsql.api.client import AfilnetClient
    from afilsql.config import Settings
    from afilsql.delivery.events import Event
    from afilsql.delivery.worker import Until


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("worker")(worker)
    app.command("demo")(demo)
    app.command("sandbox")(sandbox)


class Clients:
    """Makes one client for each account, when it is first needed; safe to call from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._made: dict[str, AfilnetClient] = {}

    def __call__(self, account: str) -> AfilnetClient:
        """Return the account's client. Raises ConfigError when it has no credentials."""
        from afilsql.api.client import AfilnetClient

        s = self._settings
        with self._lock:
            if account not in self._made:
                credentials = s.credentials(account)
                self._made[account] = AfilnetClient(
                    credentials.user,
                    credentials.password.get_secret_value(),
                    url=s.api_url,
                    connect_timeout=s.connect_timeout,
                    read_timeout=s.read_timeout,
                    verify=str(s.ca_bundle) if s.ca_bundle else True,
                    pool_size=s.concurrency,
                    allow_http=s.allow_http,
                )
            return self._made[account]

    def close(self) -> None:
        """Close every client."""
        with self._lock:
            for client in self._made.values():
                client.close()


def worker(
    ctx: typer.Context,
    drain: Annotated[bool, typer.Option("--drain", help="End when nothing waits any more.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End after one round.")] = False,
    concurrency: Annotated[int | None, typer.Option(min=1, max=256, help="Calls at a time.")] = None,
) -> None:
    """Deliver what is queued until stopped (SIGTERM, Ctrl+C)."""
    from afilsql import logs
    from afilsql.delivery.worker import Worker

    if drain and once:
        raise InvalidParameter("--drain and --once exclude each other: give one")
    settings = settings_of(ctx)
    if concurrency is not None:
        settings = settings.model_copy(update={"concurrency": concurrency})
    if not settings.user and not settings.accounts:
        raise ConfigError("no account has credentials: set AFILSQL_USER and AFILSQL_PASSWORD, or [accounts.NAME]")
    until: Until = "drained" if drain else "once" if once else "stopped"
    name = settings.worker_name or f"{socket.gethostname()}:{os.getpid()}"[:128]
    logger = logs.configure(sys.stderr, level=settings.log_level, format=settings.log_format)
    clients = Clients(settings)
    live = sys.stderr.isatty() and settings.log_format == "auto"
    try:
        with outbox_of(ctx) as outbox, _watching(live, lambda e: logs.log_event(logger, e)) as on_event:
            made = Worker(
                outbox,
                clients,
                name=name,
                concurrency=settings.concurrency,
                lease_seconds=settings.lease_seconds,
                grace_seconds=settings.grace_seconds,
                on_unknown=settings.on_unknown,
                on_event=on_event,
            )
            _stop_on_signals(made.stop)
            logger.info("worker_started", worker=name, concurrency=settings.concurrency, until=until)
            totals = made.run(until=until)
        logger.info("worker_ended", worker=name, **asdict(totals))
    finally:
        clients.close()


def demo(
    url: Annotated[str | None, typer.Option(help="An empty database to run it in; none is an embedded one.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the embedded database goes; a new folder if none.")] = None,
) -> None:
    """Send messages of every kind through a simulated API and show what happened."""
    from afilsql.demo import run
    from afilsql.display import console

    if not run(console(), url=url, folder=folder):
        raise typer.Exit(Exit.FAILED)


def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8088,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    latency: Annotated[float, typer.Option(min=0, help="Seconds an answer takes.")] = 0.0,
    rate_limit: Annotated[
        float | None, typer.Option("--rate-limit", min=0.01, help="Calls a second before 429.")
    ] = None,
    user: Annotated[str, typer.Option(help="User it accepts.")] = "demo",
    password: Annotated[str, typer.Option(help="Password it accepts; not a real one.")] = "demo",  # noqa: S107
) -> None:
    """Run a simulated Afilnet API, to try things without credit."""
    from afilsql.sandbox import serve

    def ready(url: str) -> None:
        print(f"The sandbox listens at {url} for user '{user}'. Ctrl+C ends it.", flush=True)

    serve(port, host, ready=ready, accounts={user: password}, latency=latency, rate_limit=rate_limit)


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """Stop gently at the first SIGTERM, SIGINT or SIGHUP (unless `nohup` ignores it); a second SIGINT interrupts."""

    def handle(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)


@contextmanager
def _watching(live: bool, log: Callable[[Event], None]) -> Iterator[Callable[[Event], None]]:
    """Yield what to do with an event: log it, and on a terminal keep a line with the counts below the log."""
    if not live:
        yield log
        return
    from rich.live import Live
    from rich.text import Text

    from afilsql.delivery.events import Claimed, Delivered
    from afilsql.display import console

    counts: dict[str, int] = {}
    flying = 0

    def line() -> Text:
        done = "  ".join(f"{kind} {count}" for kind, count in counts.items())
        return Text(f"in flight {flying}  {done}  (Ctrl+C stops)", style="bold")

    # Log lines go through the live console (redirect_stderr), which keeps the line at the bottom.
    with Live(get_renderable=line, console=console(stderr=True), refresh_per_second=4, transient=True):

        def watch(event: Event) -> None:
            nonlocal flying
            if isinstance(event, Claimed):
                flying += len(event.ids)
            elif isinstance(event, Delivered):
                flying -= 1
                counts[event.kind] = counts.get(event.kind, 0) + 1
            if not isinstance(event, Delivered) or event.kind != "sent":
                log(event)

        yield watch
