"""What the commands share: exit codes, settings, the outbox, option types."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from afilsql import plain
from afilsql.errors import (
    AfilsqlError,
    ApiError,
    ConfigError,
    DatabaseError,
    DriverMissing,
    InvalidParameter,
    RequestNotFound,
)

if TYPE_CHECKING:
    from afilsql.config import Settings
    from afilsql.outbox.base import Outbox


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    DATABASE = 4
    API = 5
    TIMEOUT = 6
    INTERRUPTED = 130


EXIT_HELP = (
    "Exit codes: 0 done; 1 a request failed or the outcome is not the expected; 2 wrong usage or refused input; "
    "3 configuration; 4 database; 5 API; 6 timed out waiting; 130 interrupted."
)

DEFAULT_SERVICE = "afilsql"
ServiceName = Annotated[str, typer.Option("--name", help="Name of the service; another for each instance.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def exit_code(error: AfilsqlError) -> Exit:
    """Return the exit code that goes with an error."""
    match error:
        case InvalidParameter() | RequestNotFound():
            return Exit.USAGE
        case ConfigError() | DriverMissing():
            return Exit.CONFIG
        case DatabaseError():
            return Exit.DATABASE
        case ApiError():
            return Exit.API
        case _:
            return Exit.FAILED


@dataclass(frozen=True, slots=True)
class State:
    """What the global options said."""

    config: Path | None = None


def settings_of(ctx: typer.Context) -> Settings:
    """Read the settings. Raises ConfigError."""
    from afilsql.config import load_settings

    return load_settings(config_of(ctx))


def config_of(ctx: typer.Context) -> Path | None:
    """Return the settings file that --config names."""
    return ctx.obj.config if isinstance(ctx.obj, State) else None


def outbox_of(ctx: typer.Context, warn: Callable[[str], object] | None = None) -> Outbox:
    """Open the outbox of the settings; an embedded one is created when it is not there. Raises AfilsqlError."""
    from afilsql.outbox import open_outbox

    url = database_of(ctx, warn)
    ensure_embedded(url)
    return open_outbox(url, allow_private_urls=settings_of(ctx).allow_private_urls)


def database_of(ctx: typer.Context, warn: Callable[[str], object] | None = None, *, given: str | None = None) -> str:
    """Return the database URL, after saying on standard error, or to `warn`, where it is not safe.

    Args:
        warn: Told what is not safe.
        given: The URL an option of the command gave, in place of the settings'.
    """
    if given is not None:
        from afilsql.masking import masked_url

        if masked_url(given) != given:
            note(
                "warning: everybody on this machine can see the password in --url while this runs; "
                "use AFILSQL_DATABASE_URL instead"
            )
    url = given or settings_of(ctx).database_url
    if url.startswith("mssql"):
        from afilsql.outbox.encryption import weaknesses

        for weakness in weaknesses(url):
            (warn or note)(f"warning: {weakness}")
    return url


def ensure_embedded(url: str) -> None:
    """Create the tables of an embedded outbox that has none yet; other databases are left to `afilsql migrate`."""
    if not url.startswith("sqlite"):
        return
    path = Path(url.partition("///")[2].partition("?")[0])
    if path.is_file() and _has_tables(path):
        return
    from afilsql.deploy import migrate

    migrate(url)
    if sys.stderr.isatty():
        note(f"created the embedded outbox {path}")


def _has_tables(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'outbox'")
            return found.fetchone() is not None
    except sqlite3.OperationalError:
        return True  # locked or unreadable: the outbox itself says what is wrong, in better words
    except sqlite3.DatabaseError:
        raise DatabaseError(
            f"the file {path} is not an SQLite database: name another in AFILSQL_DATABASE_URL"
        ) from None


def note(text: str) -> None:
    """Say something on standard error, lines after the first indented; a closed one changes no exit code."""
    with suppress(OSError):
        print(plain.replaced(f"afilsql: {text}").replace("\n", "\n    "), file=sys.stderr)


def say(text: str) -> None:
    """Print text with names from outside; what does not print is replaced on a terminal and kept for programs."""
    print(plain.replaced(text) if sys.stdout.isatty() else text)
