"""Commands that keep running: worker, sandbox; and demo."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from afilsql.cli.context import Exit, config_of, database_of, exit_code, outbox_of, settings_of
from afilsql.errors import AfilsqlError, ConfigError, InvalidParameter

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from afilsql.api.transports import Login
    from afilsql.config import Settings
    from afilsql.delivery.alerter import Hook
    from afilsql.delivery.events import Event
    from afilsql.delivery.limits import Rate
    from afilsql.delivery.worker import Until
    from afilsql.logs import Logger
    from afilsql.watching.setup import Watching

#: Seconds alerts that wait get when the worker ends.
ALERTS_CLOSE_SECONDS = 5.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("worker")(worker)
    app.command("demo")(demo)
    app.command("sandbox")(sandbox)


def worker(
    ctx: typer.Context,
    drain: Annotated[bool, typer.Option("--drain", help="End when nothing waits any more.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End after one round.")] = False,
    concurrency: Annotated[int | None, typer.Option(min=1, max=256, help="Calls at a time.")] = None,
) -> None:
    """Deliver what is queued until stopped (SIGTERM, Ctrl+C)."""
    from afilsql import logs
    from afilsql.delivery.alerter import Alerter
    from afilsql.process import forbid_core_dumps
    from afilsql.watching.setup import Watching

    if drain and once:
        raise InvalidParameter("--drain and --once exclude each other: give one")
    forbid_core_dumps()
    settings = settings_of(ctx)
    if concurrency is not None:
        settings = settings.model_copy(update={"concurrency": concurrency})
    if not settings.configured:
        raise ConfigError("no account has credentials: set AFILSQL_USER and AFILSQL_PASSWORD, or [accounts.NAME]")
    hooks = _alert_hooks(settings)
    until: Until = "drained" if drain else "once" if once else "stopped"
    name = settings.worker_name or f"{socket.gethostname()}:{os.getpid()}"[:128]
    watching = Watching(settings, os.environ, worker=name)
    with _logging(settings, watching.lines_lost) as (logger, watch):

        def fail(hook: str, why: str, untold: int) -> None:
            logger.warning("alert_failed", hook=hook, why=why, failures_untold=untold)

        alerter = Alerter(watching.hooks(hooks), worker=name, on_failure=fail)

        def on_event(event: Event) -> None:
            watch(event)
            alerter.notice(event)
            watching.watchers.notice(event)

        try:
            with watching.serving(lambda url: logger.info("watching", url=url)):
                _deliver(ctx, settings, watching, name=name, until=until, logger=logger, on_event=on_event)
        except AfilsqlError as error:
            logger.error("worker_failed", error=type(error).__name__, detail=str(error))
            raise typer.Exit(exit_code(error)) from None
        except Exception as error:  # noqa: BLE001 - a traceback would wait for standard error, and may hold anything
            logs.log_failure(logger, error)
            raise typer.Exit(Exit.FAILED) from None
        finally:
            alerter.close(ALERTS_CLOSE_SECONDS)


def _deliver(
    ctx: typer.Context,
    settings: Settings,
    watching: Watching,
    *,
    name: str,
    until: Until,
    logger: Logger,
    on_event: Callable[[Event], None],
) -> None:
    from afilsql.clients import Clients
    from afilsql.delivery.caller import ReadBackSettings
    from afilsql.delivery.limits import Breaker
    from afilsql.delivery.worker import Worker
    from afilsql.outbox.records import Account

    def warn(text: str) -> None:
        logger.warning("database_connection", detail=text.removeprefix("warning: "))

    with closing(Clients(settings, _logins(ctx, logger))) as clients, outbox_of(ctx, warn) as outbox:
        for account in settings.configured:
            clients(account)  # what cannot work is said now, not when the first message waits
            if caution := clients.caution(account):
                logger.warning("transport", account=account, detail=caution)
        made = Worker(
            watching.watchers.outbox(outbox),
            clients,
            name=name,
            concurrency=settings.concurrency,
            lease_seconds=settings.lease_seconds,
            grace_seconds=settings.grace_seconds,
            on_unknown=settings.on_unknown,
            read_back=ReadBackSettings(
                settings.read_back_after, settings.read_back_settle, ZoneInfo(settings.api_time_zone)
            ),
            share=settings.share,
            rates=_rates(settings),
            breaker=Breaker(settings.breaker_calls, settings.breaker_share),
            accounts=[Account(a, settings.credentials(a).platforms or ()) for a in settings.configured],
            on_event=on_event,
            around=watching.watchers.deliver,
            pulse=watching.pulse,
        )
        _stop_on_signals(made.stop)
        logger.info("worker_started", worker=name, concurrency=settings.concurrency, until=until)
        totals = made.run(until=until)
    logger.info("worker_ended", worker=name, **asdict(totals))


def _logins(ctx: typer.Context, logger: FilteringBoundLogger) -> Callable[[str], Login]:
    from afilsql.config import settings_file
    from afilsql.credentials import Logins

    def on_trouble(account: str, why: str) -> None:
        logger.warning("login_kept", account=account, detail=f"{why}; until then the worker uses what it had")

    return Logins(
        lambda: settings_of(ctx),
        config=settings_file(config_of(ctx), os.environ),
        on_change=lambda account: logger.info("login_changed", account=account),
        on_trouble=on_trouble,
    )


def demo(
    ctx: typer.Context,
    url: Annotated[str | None, typer.Option(help="An empty database to run it in; none is an embedded one.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where the embedded database goes; a new folder if none.")] = None,
) -> None:
    """Send messages of every kind through a simulated API and show what happened."""
    from afilsql.demo import run
    from afilsql.display import console

    if url is not None:
        database_of(ctx, given=url)
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
    token_seconds: Annotated[
        int, typer.Option("--token-seconds", min=1, max=86_400, help="Lifetime of a token of OAuth 2.0.")
    ] = 3600,
    delivered_after: Annotated[
        float | None, typer.Option("--delivered-after", min=0, help="Seconds until a message sent is 'delivered'.")
    ] = None,
    read_after: Annotated[
        float | None, typer.Option("--read-after", min=0, help="Seconds until a message sent is 'read'.")
    ] = None,
    auto_customer: Annotated[
        str | None, typer.Option("--auto-customer", metavar="TEXT", help="What customers answer to each message.")
    ] = None,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="Lists begin with the newest.")] = False,
    mark_read: Annotated[bool, typer.Option("--mark-read", help="Unread messages are listed once.")] = False,
) -> None:
    """Run a simulated Afilnet API, to try things without credit.

    Beside /api/http/ it has /api/basic/, and /api/json/ with tokens from /oauth/token, where the user is a client and
    the password its secret. A customer writes when JSON of user, platform, platformid, destination and message is
    posted to /customer.
    """
    from afilsql.sandbox import serve

    def ready(url: str) -> None:
        print(f"The sandbox listens at {url} for user '{user}'. Ctrl+C ends it.", flush=True)

    serve(
        port,
        host,
        ready=ready,
        accounts={user: password},
        clients={user: password},
        token_seconds=token_seconds,
        latency=latency,
        rate_limit=rate_limit,
        delivered_after=delivered_after,
        read_after=read_after,
        auto_customer=auto_customer,
        newest_first=newest_first,
        mark_read=mark_read,
    )


def _rates(settings: Settings) -> dict[str, Rate]:
    """Return the limits of the accounts that have one."""
    from afilsql.delivery.limits import Rate

    accounts = {name: settings.credentials(name) for name in settings.configured}
    return {name: Rate(given.rate, given.burst) for name, given in accounts.items() if given.rate is not None}


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """Stop gently at the first SIGTERM, SIGINT or SIGHUP (unless `nohup` ignores it); a second SIGINT interrupts."""

    def handle(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    for number in (signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)


@contextmanager
def _logging(settings: Settings, on_lost: Callable[[int], None]) -> Iterator[tuple[Logger, Callable[[Event], None]]]:
    """Yield the logger and what to do with an event: log it, and on a terminal keep a line with the counts below."""
    from afilsql import logs

    open_log = partial(
        logs.logging_to, sys.stderr, level=settings.log_level, format=settings.log_format, on_lost=on_lost
    )
    if sys.stderr is None or not sys.stderr.isatty() or settings.log_format != "auto":
        with open_log() as logger:
            yield logger, lambda event: logs.log_event(logger, event)
        return
    from afilsql.cli.live import LiveLine
    from afilsql.delivery.events import Delivered
    from afilsql.logstream import TextSink

    line = LiveLine(TextSink(sys.stderr))
    with open_log(sink=line) as logger:

        def watch(event: Event) -> None:
            line.watch(event)
            if not isinstance(event, Delivered) or event.kind != "sent":
                logs.log_event(logger, event)

        yield logger, watch


def _alert_hooks(settings: Settings) -> list[Hook]:
    """Return where alerts go. Raises ConfigError."""
    from afilsql.delivery.alerter import CommandHook, UrlHook

    hooks: list[Hook] = []
    if settings.alert_command is not None:
        program = settings.alert_command[0]
        if shutil.which(program) is None:
            raise ConfigError(
                f"the setting AFILSQL_ALERT_COMMAND names '{program}', which does not exist or may not be run: "
                "give the program's full path"
            )
        hooks.append(CommandHook(settings.alert_command))
    if settings.alert_url is not None:
        hooks.append(UrlHook(settings.alert_url, verify=str(settings.ca_bundle) if settings.ca_bundle else True))
    return hooks
