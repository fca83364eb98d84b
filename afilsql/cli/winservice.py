"""The commands of `afilsql service` on Windows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from afilsql.cli.context import DEFAULT_SERVICE, ServiceName, config_of, exit_code, say
from afilsql.cli.run import run_worker
from afilsql.errors import AfilsqlError, InvalidParameter, ServiceError
from afilsql.service import win32
from afilsql.service.win32 import Win32
from afilsql.service.windows import Control, EventLog, WindowsService


def add(app: typer.Typer, load: Callable[[], Win32] = win32.load) -> None:
    """Add the commands.

    Args:
        app: Where they go.
        load: Gives pywin32's modules.
    """

    @app.command("install")
    def install(
        ctx: typer.Context,
        name: ServiceName = DEFAULT_SERVICE,
        config: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Settings in TOML; a service has no environment of a user.")
        ] = None,
        account: Annotated[
            str | None, typer.Option(help=r"Account it runs as: DOMAIN\name$, else its own, NT SERVICE\NAME.")
        ] = None,
        now: Annotated[bool, typer.Option("--now", help="Start it too.")] = False,
    ) -> None:
        """Make a Windows service that runs the worker, starts with the machine, and again when it fails."""
        from afilsql.config import load_settings
        from afilsql.service.reload import require_account
        from afilsql.service.winmanager import WindowsManager

        file = config or config_of(ctx)
        if file is None:
            raise InvalidParameter("a service has no environment of a user: name a settings file in --config")
        file = file.absolute()
        settings = load_settings(file, {})
        require_account(settings)
        command = [sys.executable, "-m", "afilsql", "--config", str(file), "service", "run", "--name", name]
        manager = WindowsManager(load())
        manager.install(name, subprocess.list2cmdline(command), account=account, grace_seconds=settings.grace_seconds)
        who = account or rf"NT SERVICE\{name}"
        say(f"installed the service {name}, which runs as {who}")
        say(f'That account alone may read the settings after `icacls "{file}" /inheritance:r /grant "{who}:R"`')
        say('and `/grant "Administrators:F"`; do the same with each file they name.')
        if now:
            manager.start(name)

    @app.command("uninstall")
    def uninstall(name: ServiceName = DEFAULT_SERVICE) -> None:
        """Stop the service gently and remove it."""
        from afilsql.service.winmanager import WindowsManager

        WindowsManager(load()).remove(name)
        say(f"removed the service {name}")

    @app.command("start")
    def start(name: ServiceName = DEFAULT_SERVICE) -> None:
        """Have Windows start it."""
        from afilsql.service.winmanager import WindowsManager

        WindowsManager(load()).start(name)

    @app.command("stop")
    def stop(name: ServiceName = DEFAULT_SERVICE) -> None:
        """Stop it gently: calls in flight end first."""
        from afilsql.service.winmanager import WindowsManager

        WindowsManager(load()).stop(name)

    @app.command("reload")
    def reload(name: ServiceName = DEFAULT_SERVICE) -> None:
        """Have it read its settings anew."""
        from afilsql.service.winmanager import WindowsManager

        WindowsManager(load()).reload(name)

    @app.command("status")
    def status(name: ServiceName = DEFAULT_SERVICE) -> None:
        """Say whether it runs."""
        from afilsql.service.winmanager import WindowsManager

        say(WindowsManager(load()).status(name))

    @app.command("run", hidden=True)
    def run(ctx: typer.Context, name: ServiceName = DEFAULT_SERVICE) -> None:
        """Be the service: Windows alone calls this."""
        from afilsql.service.windows import host

        def worker(*, control: Control, watcher: WindowsService, sink: EventLog) -> None:
            try:
                run_worker(ctx, control=control, watchers=[watcher], sink=sink)
            except AfilsqlError as error:
                raise ServiceError(f"{error} (exit code {exit_code(error).value})") from None
            except typer.Exit as ended:
                raise ServiceError(f"It ended with exit code {ended.exit_code}: see the error before") from None

        host(load(), name, worker)
