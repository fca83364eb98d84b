"""The command `worker`, and what runs one elsewhere."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, fields
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from afilsql.cli.context import Exit, config_of, database_of, ensure_embedded, exit_code, settings_of
from afilsql.errors import AfilsqlError, ConfigError, InvalidParameter
from afilsql.service.signals import on_signals

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from afilsql.api.transports import Login
    from afilsql.clients import Clients
    from afilsql.config import Settings
    from afilsql.delivery.alerter import Hook
    from afilsql.delivery.events import Event
    from afilsql.delivery.terms import Terms
    from afilsql.delivery.worker import Until
    from afilsql.logs import Logger, Threshold
    from afilsql.logstream import Sink
    from afilsql.service.watchers import Watcher
    from afilsql.watching.setup import Watching

#: Seconds alerts that wait get when the worker ends.
ALERTS_CLOSE_SECONDS = 5.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("worker")(worker)


def worker(
    ctx: typer.Context,
    drain: Annotated[bool, typer.Option("--drain", help="End when nothing waits any more.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End after one round.")] = False,
    concurrency: Annotated[int | None, typer.Option(min=1, max=256, help="Calls at a time.")] = None,
) -> None:
    """Deliver what is queued until stopped (SIGTERM, Ctrl+C)."""
    if drain and once:
        raise InvalidParameter("--drain and --once exclude each other: give one")
    run_worker(ctx, until="drained" if drain else "once" if once else "stopped", concurrency=concurrency)


def run_worker(
    ctx: typer.Context,
    *,
    until: Until = "stopped",
    concurrency: int | None = None,
    control: Callable[[Callable[[], None], Callable[[], None]], None] = on_signals,
    watchers: Sequence[Watcher] = (),
    sink: Sink | None = None,
) -> None:
    """Run a worker until it ends.

    Args:
        ctx: Says where the settings are.
        until: See `Worker.run`.
        concurrency: In place of the setting.
        control: Given what stops the worker and what has it read its settings anew; calls them when it is time.
        watchers: Told how it does.
        sink: Takes the log in place of standard error.

    Raises:
        AfilsqlError: The settings are wrong; nothing was logged.
        typer.Exit: It failed; why has been logged.
    """
    from afilsql import logs
    from afilsql.delivery.alerter import Alerter
    from afilsql.process import forbid_core_dumps
    from afilsql.service.reload import require_account
    from afilsql.watching.setup import Watching

    def load() -> Settings:
        settings = settings_of(ctx)
        return settings if concurrency is None else settings.model_copy(update={"concurrency": concurrency})

    forbid_core_dumps()
    settings = load()
    require_account(settings)
    hooks = _alert_hooks(settings)
    name = settings.worker_name or f"{socket.gethostname()}:{os.getpid()}"[:128]
    threshold = logs.Threshold(settings.log_level)
    watching = Watching(settings, os.environ, worker=name)
    with _logging(settings, threshold, sink, watching.lines_lost) as (logger, watch):

        def fail(hook: str, why: str, untold: int) -> None:
            logger.warning("alert_failed", hook=hook, why=why, failures_untold=untold)

        alerter = Alerter(watching.hooks(hooks), worker=name, on_failure=fail)

        def on_event(event: Event, database: str) -> None:
            watch(event, database)
            alerter.notice(event, database)
            watching.of(database).notice(event)

        try:
            with watching.serving(lambda url: logger.info("watching", url=url)):
                _deliver(
                    ctx,
                    settings,
                    load,
                    watching,
                    name=name,
                    until=until,
                    control=control,
                    watchers=watchers,
                    threshold=threshold,
                    logger=logger,
                    on_event=on_event,
                )
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
    load: Callable[[], Settings],
    watching: Watching,
    *,
    name: str,
    until: Until,
    control: Callable[[Callable[[], None], Callable[[], None]], None],
    watchers: Sequence[Watcher],
    threshold: Threshold,
    logger: Logger,
    on_event: Callable[[Event, str], None],
) -> None:
    from afilsql.clients import Clients
    from afilsql.delivery.handover import Totals
    from afilsql.delivery.worker import Worker
    from afilsql.outbox import open_outbox
    from afilsql.service import page
    from afilsql.service.databases import JointPulse, Workers, urls_of
    from afilsql.service.notify import Notifier, watchdog_seconds
    from afilsql.service.reload import Reloader, terms_of
    from afilsql.service.watchers import Manager, PulseFile, WatchedPulse

    def warn(text: str) -> None:
        logger.warning("database_connection", detail=text.removeprefix("warning: "))

    def clients_for(settings: Settings) -> Clients:
        clients = Clients(settings, _logins(ctx, logger))
        for account in settings.configured:
            clients(account)  # what cannot work is said now, not when the first message waits
            if caution := clients.caution(account):
                logger.warning("transport", account=account, detail=caution)
        return clients

    notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
    manager = Manager(notifier, watchdog=watchdog_seconds(os.environ), grace_seconds=settings.grace_seconds)
    file = [PulseFile(settings.pulse_file)] if settings.pulse_file else []
    all_watchers: list[Watcher] = [manager, *file, *watchers]

    served = urls_of(settings)
    pulse = WatchedPulse([watching.pulse, *all_watchers])
    joint = JointPulse(pulse, len(served))
    one_at_a_time = threading.Lock()

    def tell(event: Event, database: str) -> None:
        with one_at_a_time:
            on_event(event, database)
            for watcher in all_watchers:
                watcher.notice(event)

    def ended(database: str, how: Totals | Exception) -> None:
        joint.left(list(served).index(database))
        of = {"database": database} if database else {}
        if isinstance(how, Totals):
            logger.info("worker_ended", worker=name, **of, **asdict(how))
        elif len(served) > 1:  # of a single one whoever runs it tells
            detail = str(how) if isinstance(how, AfilsqlError) else ""
            logger.error("database_given_up", **of, error=type(how).__name__, detail=detail)

    with ExitStack() as stack:
        stack.enter_context(closing(notifier))
        clients = stack.enter_context(closing(clients_for(settings)))
        database_of(ctx, warn)
        terms = terms_of(settings, clients)
        made = {}
        for number, (database, url) in enumerate(served.items()):
            ensure_embedded(url)
            outbox = stack.enter_context(open_outbox(url, allow_private_urls=settings.allow_private_urls))
            made[database] = Worker(
                watching.of(database).outbox(outbox),
                name=name,
                lease_seconds=settings.lease_seconds,
                on_event=partial(tell, database=database),
                around=watching.of(database).deliver,
                pulse=pulse if len(served) == 1 else joint.part(number),
                **{field.name: getattr(terms, field.name) for field in fields(terms)},
            )
        workers = Workers(made, ended)
        stack.enter_context(page.serving(settings, load, logger))

        def adopt(terms: Terms) -> None:
            workers.adopt(terms)
            watching.adopt(terms)

        reloader = Reloader(
            settings,
            load=load,
            clients_for=clients_for,
            adopt=adopt,
            threshold=threshold,
            manager=manager,
            logger=logger,
        )
        with closing(reloader):
            control(workers.stop, reloader.ask)
            several = {"databases": list(served)} if len(served) > 1 else {}
            logger.info("worker_started", worker=name, concurrency=settings.concurrency, until=until, **several)
            workers.run(until=until)


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


@contextmanager
def _logging(
    settings: Settings, threshold: Threshold, sink: Sink | None, on_lost: Callable[[int], None]
) -> Iterator[tuple[Logger, Callable[[Event, str], None]]]:
    """Yield the logger and what to do with an event of a database.

    It is logged; on a terminal a line with the counts is kept below.
    """
    from afilsql import logs

    format = settings.log_format if sink is None else "json"
    open_log = partial(logs.logging_to, sys.stderr, level=threshold, format=format, on_lost=on_lost)
    if sink is not None or sys.stderr is None or not sys.stderr.isatty() or settings.log_format != "auto":
        with open_log(sink=sink) as logger:
            yield logger, lambda event, database: logs.log_event(logger, event, database, threshold=threshold)
        return
    from afilsql.cli.live import LiveLine
    from afilsql.delivery.events import Delivered
    from afilsql.logstream import TextSink

    line = LiveLine(TextSink(sys.stderr))
    with open_log(sink=line) as logger:

        def watch(event: Event, database: str) -> None:
            line.watch(event)
            if not isinstance(event, Delivered) or event.kind != "sent":
                logs.log_event(logger, event, database, threshold=threshold)

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
