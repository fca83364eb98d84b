"""The command that looks for sp_OACreate calls: legacy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from afilsql import plain
from afilsql.cli.context import Exit, Json, database_of, note
from afilsql.errors import InvalidParameter

if TYPE_CHECKING:
    from afilsql.legacy import Source

_WIDEST = 110


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("legacy")(legacy)


def legacy(
    ctx: typer.Context,
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE_OR_FOLDER...", help="Folders are searched for *.sql.")
    ] = None,
    database: Annotated[
        bool, typer.Option("--database", help="Read the modules of the database in AFILSQL_DATABASE_URL instead.")
    ] = False,
    url: Annotated[str | None, typer.Option("--url", help="Read the modules of this database.")] = None,
    json: Json = False,
) -> None:
    """Find sp_OACreate calls to the API, say what is wrong with each, and print the EXEC that replaces it.

    Nothing is ever changed, and passwords are never printed.

    Exits with 1 when something is left for a person to do; calls to other addresses are listed and do not count.
    """
    from afilsql.legacy import report, scan

    from_database = database or url is not None
    if from_database == bool(paths):
        raise InvalidParameter(
            "name .sql files or folders, or give --database, and not both: see `afilsql legacy --help`"
        )
    sources = _from_database(database_of(ctx, given=url)) if from_database else _from_paths(paths or [])
    found = scan(sources)
    if json:
        from afilsql.display import print_json

        print_json(report.as_values(found))
    else:
        width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
        print(plain.replaced(report.as_text(found, width=width)))
    if any(r.needs_work for r in found):
        raise typer.Exit(Exit.FAILED)


def _from_paths(paths: list[Path]) -> list[Source]:
    from afilsql.legacy import read_paths

    return read_paths(paths)


def _from_database(url: str) -> list[Source]:
    from afilsql.legacy import read_database
    from afilsql.outbox.engine import create_engine, translated

    if url.startswith("sqlite"):
        raise InvalidParameter(
            "an embedded SQLite database holds no T-SQL: give --url mssql+pyodbc://… or set AFILSQL_DATABASE_URL to it"
        )
    engine = create_engine(url, autocommit=True)
    try:
        with translated(), engine.connect() as connection:
            sources = read_database(connection)
    finally:
        engine.dispose()
    if not sources:
        note("no module can be seen in this database: the login may lack VIEW DEFINITION")
    return sources
