"""The operators' page: web, web hash-password."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from afilsql.cli.context import database_of, ensure_embedded, settings_of
from afilsql.errors import InvalidParameter

#: Characters a password has at least.
MIN_PASSWORD = 12


def register(app: typer.Typer) -> None:
    """Add the commands."""
    web = typer.Typer(help=serve.__doc__, invoke_without_command=True, add_completion=False)
    web.callback()(serve)
    web.command("hash-password")(hash_password)
    app.add_typer(web, name="web")


def serve(
    ctx: typer.Context,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="In place of the setting web.port.")] = None,
) -> None:
    """Serve the operators' page until stopped; the settings under web say where, and who may sign in."""
    if ctx.invoked_subcommand is not None:
        return
    from afilsql import web

    web.require()
    from afilsql.logs import logging_to
    from afilsql.outbox.browse import open_browser
    from afilsql.process import forbid_core_dumps
    from afilsql.web.server import WebServer
    from afilsql.websettings import WebSettings

    def load() -> WebSettings:
        found = settings_of(ctx).web
        return found if port is None else found.model_copy(update={"port": port})

    forbid_core_dumps()
    settings = settings_of(ctx)
    with logging_to(sys.stderr, level=settings.log_level, format=settings.log_format) as logger:

        def warn(text: str) -> None:
            logger.warning("database_connection", detail=text.removeprefix("warning: "))

        url = database_of(ctx, warn)
        ensure_embedded(url)
        with open_browser(url) as browser:
            server = WebServer(browser, load, logger)
            server.run(lambda url: print(f"The page is at {url}. Ctrl+C ends it.", flush=True))


def hash_password() -> None:
    """Ask for a password and print its hash, for password_hash of a user in the settings."""
    from afilsql import web

    web.require()
    from afilsql.web.users import MAX_PASSWORD, hashed

    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise InvalidParameter("the two passwords differ: try again")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise InvalidParameter(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters: choose another")
    print(hashed(password))
