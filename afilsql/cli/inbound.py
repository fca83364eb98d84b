"""Commands for what customers write: subscribe, unsubscribe, subscriptions, tail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from afilsql.cli.context import Exit, Json, note, outbox_of, say

Platform = Annotated[str, typer.Argument(metavar="PLATFORM", help="webchat, whatsapp, telegram or operator.")]
PlatformId = Annotated[
    str, typer.Argument(metavar="PLATFORMID", help="Id of the channel; `afilsql channels` lists them.")
]
Destination = Annotated[str | None, typer.Option(help="One chat of the channel, by its phone number or id.")]
Account = Annotated[str, typer.Option(help="Account in the worker's settings.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("subscribe")(subscribe)
    app.command("unsubscribe")(unsubscribe)
    app.command("subscriptions")(subscriptions)
    app.command("tail")(tail)


def subscribe(
    ctx: typer.Context,
    platform: Platform,
    platformid: PlatformId,
    destination: Destination = None,
    every: Annotated[int, typer.Option("--every", metavar="SECONDS", help="Between two looks, 5 to 86400.")] = 30,
    unread_only: Annotated[bool, typer.Option("--unread-only", help="Ask for unread messages alone.")] = False,
    account: Account = "default",
    json: Json = False,
) -> None:
    """Have workers ask a channel, or one chat, for messages again and again; doing it again changes how often."""
    from afilsql.display import print_json

    with outbox_of(ctx) as outbox:
        id = outbox.subscribe(
            platform, platformid, destination, account=account, every_seconds=every, unread_only=unread_only
        )
    if json:
        print_json({"id": id})
    else:
        say(f"Subscription {id}: {_named(platform, platformid, destination)} every {every} s.")


def unsubscribe(
    ctx: typer.Context,
    platform: Platform,
    platformid: PlatformId,
    destination: Destination = None,
    account: Account = "default",
    json: Json = False,
) -> None:
    """End a subscription; what was received stays."""
    from afilsql.display import print_json

    with outbox_of(ctx) as outbox:
        ended = outbox.unsubscribe(platform, platformid, destination, account=account)
    named = _named(platform, platformid, destination)
    if json:
        print_json({"ended": ended})
    elif ended:
        say(f"No longer subscribed to {named}.")
    if not ended:
        note(f"the account {account} has no subscription to {named}: `afilsql subscriptions` lists those there are")
        raise typer.Exit(Exit.FAILED)


def subscriptions(ctx: typer.Context, json: Json = False) -> None:
    """List subscriptions: when each asks next, and how the last look ended."""
    from afilsql.display import console, print_json, subscription_dict, subscriptions_tables

    with outbox_of(ctx) as outbox:
        found = outbox.subscriptions()
    if json:
        print_json([subscription_dict(s) for s in found])
    elif found:
        for table in subscriptions_tables(found, datetime.now(UTC)):
            console().print(table)
    else:
        print("No subscriptions: `afilsql subscribe` makes one.")


def tail(
    ctx: typer.Context,
    platform: Platform,
    platformid: PlatformId,
    destination: Destination = None,
    account: Account = "default",
    history: Annotated[
        int, typer.Option("--history", min=0, max=100_000, metavar="N", help="Begin with the last N messages.")
    ] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each message.")] = False,
) -> None:
    """Follow the messages of a channel, or of one chat, sent and received, until Ctrl+C (exit code 0)."""
    try:
        from afilsql.api import methods
        from afilsql.cli.follow import Channel, follow
        from afilsql.cli.lines import shower
        from afilsql.display import console

        given = {"platform": platform, "platformid": platformid, "destination": destination}
        methods.check("getchats" if destination is None else "getmessages", given)
        channel = Channel(account, platform, platformid, destination)
        with outbox_of(ctx) as outbox:
            follow(outbox, channel, history=history, show=shower(console(), json=json), tell=note)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.OK) from None  # the only way to end it


def _named(platform: str, platformid: str, destination: str | None) -> str:
    return " ".join(part for part in (platform, platformid, destination) if part)
