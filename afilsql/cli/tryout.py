"""Commands to try things with: demo, and sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from afilsql.cli.context import Exit, database_of


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("demo")(demo)
    app.command("sandbox")(sandbox)


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
