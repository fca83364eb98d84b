"""The command that shows the queue live: top."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from afilsql.cli.context import Exit, database_of, ensure_embedded
from afilsql.errors import InvalidParameter


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("top")(top)


def top(
    ctx: typer.Context,
    every: Annotated[float, typer.Option("--every", min=0.2, max=3600, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
) -> None:
    """Watch the queue live: depth, rates, workers, accounts, failures; keys pause, resume and requeue."""
    from afilsql.masking import masked_url
    from afilsql.outbox.browse import open_browser
    from afilsql.top.state import Looker

    if not once and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidParameter("top needs a terminal to draw on and keys to read: print one frame with --once")
    url = database_of(ctx)
    ensure_embedded(url)
    looker = Looker(open_browser(url), every=every)
    if once:
        _print_once(looker, masked_url(url))
        return
    from afilsql.display import console
    from afilsql.top.keys import keys
    from afilsql.top.screen import Screen, ending_well

    with ending_well(), keys() as read:
        looker.start()
        try:
            Screen(looker, console(), masked_url(url)).run(read)
        finally:
            looker.close()


def _print_once(looker: object, database: str) -> None:
    from rich.console import Console

    from afilsql.top.state import Looker
    from afilsql.top.view import Frame

    assert isinstance(looker, Looker)
    looker.look()
    Console(highlight=False).print(Frame(looker.seen, database=database, keys=False))
    if looker.seen.trouble is not None:
        raise typer.Exit(Exit.DATABASE)
