"""Commands that run the worker as a service of the system, and ask whether one lives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from afilsql.cli.context import DEFAULT_SERVICE, Exit, ServiceName, config_of, note, say, settings_of
from afilsql.errors import AfilsqlError, InvalidParameter

app = typer.Typer(no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.command("health")(health)
    parent.add_typer(app, name="service", help="Run the worker as a service of Linux (systemd) or Windows.")


def health(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The worker's AFILSQL_PULSE_FILE; this process's if left out.")
    ] = None,
    ready: Annotated[bool, typer.Option("--ready", help="Insist on a first exchange with the database.")] = False,
) -> None:
    """Exit with 0 while the worker's loop moves, else with 1. Asks neither the database nor the API."""
    from afilsql.delivery.pulse import FROZEN
    from afilsql.service.watchers import read_pulse

    path = file or settings_of(ctx).pulse_file
    if path is None:
        raise InvalidParameter(
            "no file says how the worker does: set AFILSQL_PULSE_FILE for the worker, or give --file"
        )
    found = read_pulse(path)
    if found is None:
        say(f"no worker has written {path}")
        raise typer.Exit(Exit.FAILED)
    age, state = found
    say(f"{state}; the loop moved {age:.0f} s ago")
    if not 0 <= age <= FROZEN or (ready and state == "starting"):
        raise typer.Exit(Exit.FAILED)


if sys.platform == "win32":
    from afilsql.cli import winservice

    winservice.add(app)
else:

    @app.command("install")
    def install(
        ctx: typer.Context,
        name: ServiceName = DEFAULT_SERVICE,
        user: Annotated[
            str | None, typer.Option(help="User it runs as; else one that exists only while it runs.")
        ] = None,
        config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings in TOML.")] = None,
        environment_file: Annotated[
            Path | None,
            typer.Option("--environment-file", metavar="FILE", help="Settings as AFILSQL_NAME=value lines."),
        ] = None,
        credential: Annotated[
            list[str] | None,
            typer.Option(metavar="NAME=FILE", help="A secret, such as afilsql.password=/etc/afilsql/password."),
        ] = None,
        python: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Python that has afilsql; this one if left out.")
        ] = None,
        now: Annotated[bool, typer.Option("--now", help="Start it too.")] = False,
        replace: Annotated[bool, typer.Option("--replace", help="Change a service that is there.")] = False,
        only_print: Annotated[bool, typer.Option("--print", help="Show the unit and change nothing.")] = False,
        root: Annotated[Path, typer.Option(metavar="DIR", help="An image of a system to install it in.")] = Path("/"),
    ) -> None:
        """Write a hardened systemd unit that runs the worker, and have it start with the machine.

        What would not start is refused: wrong settings, a secret that is missing or that others can read.
        """
        from dataclasses import replace as changed

        from afilsql.service import preflight
        from afilsql.service.systemd import Systemd
        from afilsql.service.unit import Unit

        unit = Unit(
            name=name,
            python=python or Path(sys.executable),
            user=user,
            config=_absolute(config or config_of(ctx)),
            environment_file=_absolute(environment_file),
            credentials=_credentials(credential or []),
        )
        try:
            settings = preflight.check(unit)
        except AfilsqlError:
            if only_print:
                print(unit.text(), end="")
                note("this unit would not start:")
            raise
        unit = changed(
            unit, grace_seconds=settings.grace_seconds, statement_seconds=preflight.statement_seconds(settings)
        )
        if only_print:
            print(unit.text(), end="")
            return
        file = Systemd(root).install(unit, now=now, replace=replace)
        say(f"installed {file}")
        if not now:
            say(f"Start it with `systemctl start {name}`, watch it with `afilsql service logs --name {name} --follow`.")

    @app.command("uninstall")
    def uninstall(
        name: ServiceName = DEFAULT_SERVICE,
        root: Annotated[Path, typer.Option(metavar="DIR", help="An image of a system.")] = Path("/"),
    ) -> None:
        """Stop the service and remove its unit. The database, settings and /var/lib/NAME stay."""
        from afilsql.service.systemd import Systemd

        say(f"removed {Systemd(root).uninstall(name)}")

    @app.command("status")
    def status(name: ServiceName = DEFAULT_SERVICE) -> None:
        """Show whether it runs, since when, and what it has done."""
        from afilsql.service.systemd import Systemd

        raise typer.Exit(Systemd().status(name))

    @app.command("logs")
    def logs(
        name: ServiceName = DEFAULT_SERVICE,
        lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines to show.")] = 100,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as new ones come.")] = False,
    ) -> None:
        """Show what it logged."""
        from afilsql.service.systemd import Systemd

        raise typer.Exit(Systemd().logs(name, lines=lines, follow=follow))


def _credentials(given: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals or not file:
            raise InvalidParameter(f"--credential {text!r} is not NAME=FILE: write afilsql.password=/path/of/the/file")
        if name in found:
            raise InvalidParameter(f"--credential {name} is given twice: keep one")
        found[name] = Path(file).absolute()
    return found


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()
