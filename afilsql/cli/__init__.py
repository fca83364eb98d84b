"""The command line: parse, call, print. `main` is the entry point."""

from __future__ import annotations

import atexit
import gc
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from afilsql.cli import check, enqueue, inbound, legacy, operate, run, service, top, tryout, web
from afilsql.cli.context import EXIT_HELP, Exit, State, exit_code, note
from afilsql.errors import AfilsqlError

app = typer.Typer(
    name="afilsql",
    help="Send chat messages from a database: an outbox, and a worker that delivers it through the Afilnet API.",
    epilog=EXIT_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _global_options(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings in TOML; the environment wins over it.")
    ] = None,
) -> None:
    ctx.obj = State(config)


for _module in (enqueue, inbound, operate, check, run, service, top, web, tryout, legacy):
    _module.register(app)


def main(args: Sequence[str] | None = None) -> None:
    """Run one command and exit; `args` stands in for the process's arguments.

    Raises:
        SystemExit: Always, with one of `Exit`.
    """
    # What is imported stays: looking through it for garbage takes a third of a short command's time, most at its end.
    gc.set_threshold(20_000, 20, 50)
    atexit.register(gc.freeze)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # other people's characters, on a terminal without them
    try:
        app(args=None if args is None else list(args), prog_name="afilsql")
    except AfilsqlError as e:
        note(str(e))
        sys.exit(exit_code(e))
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
