"""Commands for whoever runs it: migrate, status, list, show, requeue, uninstall, version."""

from __future__ import annotations

from typing import Annotated

import typer

from afilsql.cli.context import Exit, Json, database_of, note, outbox_of, say
from afilsql.errors import InvalidParameter


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("migrate")(migrate)
    app.command("status")(status)
    app.command("list")(list_)
    app.command("show")(show)
    app.command("requeue")(requeue)
    app.command("uninstall")(uninstall)
    app.command("version")(version)


def migrate(
    ctx: typer.Context,
    sql: Annotated[bool, typer.Option("--sql", help="Print the script for an empty database; change nothing.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what differs; exit with 1 if anything does.")
    ] = False,
    downgrade: Annotated[str | None, typer.Option("--downgrade", metavar="REV", help="Go back to a revision.")] = None,
) -> None:
    """Bring the database to this version; doing it again changes nothing."""
    from afilsql import deploy
    from afilsql.masking import masked_url

    if sum((sql, check, downgrade is not None)) > 1:
        raise InvalidParameter("--sql, --check and --downgrade exclude each other: give one")
    if sql:
        print(deploy.script(), end="")
        return
    url = database_of(ctx)
    if check:
        found = deploy.drift(url)
        for line in found:
            say(line)
        if found:
            note(f"{masked_url(url)} differs from this version: run `afilsql migrate`")
            raise typer.Exit(Exit.FAILED)
        print("Nothing differs.")
    elif downgrade is not None:
        deploy.downgrade(url, downgrade)
        say(f"{masked_url(url)} is at revision {downgrade}.")
    else:
        done = deploy.migrate(url)
        for line in done:
            say(line)
        say(f"{masked_url(url)} is up to date." if done else f"{masked_url(url)} was up to date already.")


def status(ctx: typer.Context, json: Json = False) -> None:
    """Show how many requests wait, workers and held accounts."""
    from afilsql.display import console, print_json, status_dict, status_tables

    with outbox_of(ctx) as outbox:
        found = outbox.status()
    if json:
        print_json(status_dict(found))
    else:
        for table in status_tables(found):
            console().print(table)


def list_(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option("--status", help="Only requests in this status.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most this many.")] = 50,
    json: Json = False,
) -> None:
    """List requests, newest first."""
    from afilsql.display import console, item_dict, items_table, print_json
    from afilsql.outbox.records import STATUSES

    wanted = next((s for s in STATUSES if s == status), None)
    if status is not None and wanted is None:
        raise InvalidParameter(f"--status '{status}' is not one of {', '.join(STATUSES)}")
    with outbox_of(ctx) as outbox:
        items = outbox.items(status=wanted, limit=limit)
        if json:
            print_json([item_dict(outbox.get(item.id)) for item in items])
        else:
            console().print(items_table(items))


def show(ctx: typer.Context, id: Annotated[int, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """Show one request with its tries and its answer."""
    from afilsql.display import console, detail_table, item_dict, print_json

    with outbox_of(ctx) as outbox:
        detail = outbox.get(id)
    if json:
        print_json(item_dict(detail))
    else:
        console().print(detail_table(detail))


def requeue(ctx: typer.Context, ids: Annotated[list[int], typer.Argument(metavar="ID...")], json: Json = False) -> None:
    """Try failed, uncertain or cancelled requests again, with a fresh set of tries."""
    from afilsql.display import print_json

    with outbox_of(ctx) as outbox:
        count = outbox.requeue(ids)
    if json:
        print_json({"requeued": count})
    else:
        print(f"Requeued {count} of {len(set(ids))}.")
    if count < len(set(ids)):
        note("the others do not exist or are not failed, uncertain or cancelled: see `afilsql list`")
        raise typer.Exit(Exit.FAILED)


def uninstall(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it the statements are only printed.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Although requests are still on their way.")] = False,
) -> None:
    """Take everything of afilsql out of the database: print the T-SQL, or with --yes run it."""
    from afilsql import uninstall as removal

    url = database_of(ctx)
    done = removal.uninstall(url, discard=discard) if yes else removal.statements(url)
    for statement in done:
        say(statement)
    note(f"removed afilsql with {len(done)} statements" if yes else "nothing was changed: add --yes to run these")


def version() -> None:
    """Print the version."""
    import afilsql

    print(afilsql.__version__)
