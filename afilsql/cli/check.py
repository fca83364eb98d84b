"""The command that tries each account's settings with one call: check."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from afilsql.cli.context import Exit, Json, settings_of
from afilsql.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afilsql.api.reply import Channel
    from afilsql.checkup import Finding
    from afilsql.clients import Clients
    from afilsql.config import Settings

#: Accounts tried at a time.
_AT_A_TIME = 8


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


@dataclass(frozen=True, slots=True)
class _Checked:
    """One account after its trial call.

    Attributes:
        notes: What is well, and should be known all the same.
    """

    account: str
    transport: str
    address: str
    finding: Finding
    channels: tuple[Channel, ...] = ()
    notes: list[str] = field(default_factory=list)


def check(
    ctx: typer.Context,
    account: Annotated[str | None, typer.Option("--account", help="Only this one; else all in the settings.")] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.1, max=300, help="Seconds to connect, and for the answer.")
    ] = None,
    json: Json = False,
) -> None:
    """Try each account of the settings with one call, and say what is wrong where it fails. Needs no database.

    Exits with 1 when a call fails, with 3 when it is settings alone that are wrong.
    """
    from concurrent.futures import ThreadPoolExecutor

    from afilsql.clients import Clients
    from afilsql.credentials import find, from_keyring
    from afilsql.process import forbid_core_dumps

    forbid_core_dumps()
    settings = settings_of(ctx)
    if timeout is not None:
        settings = settings.model_copy(update={"connect_timeout": timeout, "read_timeout": timeout})
    if account is not None:
        settings.credentials(account)
    names = settings.configured if account is None else [account]
    if not names:
        raise ConfigError("no account has credentials: set AFILSQL_USER and AFILSQL_PASSWORD, or [accounts.NAME]")
    logins = lambda name: find(settings, name, environ=os.environ, keyring=from_keyring).login  # noqa: E731
    with closing(Clients(settings, logins)) as clients, ThreadPoolExecutor(_AT_A_TIME) as pool:
        checked = list(pool.map(lambda name: _try(settings, clients, name), names))
    if json:
        from afilsql.display import print_json

        print_json([_as_values(each) for each in checked])
    else:
        _print(checked)
    failed = [each.finding for each in checked if not each.finding.is_ok]
    if failed:
        raise typer.Exit(Exit.CONFIG if all(finding.is_setting for finding in failed) else Exit.FAILED)


def _try(settings: Settings, clients: Clients, account: str) -> _Checked:
    from afilsql.api.reply import Channel, Reply
    from afilsql.checkup import explain, not_offered

    given = settings.credentials(account)
    address = given.api_url or given.wsdl or ""
    notes: list[str] = []
    outcome: Reply | Exception
    try:
        client = clients(account)
        if caution := clients.caution(account):
            notes.append(caution)
        try:
            outcome = client.get_chat_channels()
        finally:
            address = client.url
    except Exception as error:  # noqa: BLE001 - one account's trouble must not hide the others
        outcome = error
    channels = tuple(row for row in outcome.rows if isinstance(row, Channel)) if isinstance(outcome, Reply) else ()
    if isinstance(outcome, Reply) and (missing := not_offered(given.platforms, channels)):
        notes.append(f"allowed by the setting platforms, but without a channel: {', '.join(missing)}")
    return _Checked(account, given.transport, address, explain(outcome, transport=given.transport), channels, notes)


def _as_values(checked: _Checked) -> dict[str, Any]:
    finding = checked.finding
    return {
        "account": checked.account,
        "transport": checked.transport,
        "address": checked.address,
        "ok": finding.is_ok,
        "kind": finding.kind,
        "what": finding.what,
        "advice": finding.advice or None,
        "again_in": finding.again_in,
        "channels": [{"platform": c.platform, "platformid": c.platformid, "name": c.name} for c in checked.channels],
        "notes": checked.notes,
    }


def _print(checked: list[_Checked]) -> None:
    from rich.text import Text

    from afilsql.display import clean, console, table

    out = console()
    accounts = table("account", "transport", "address", "outcome", title="Accounts")
    channels = table("account", "platform", "platformid", "name", title="Channels")
    for each in checked:
        style = "green" if each.finding.is_ok else "red"
        kind = each.finding.what if each.finding.is_ok else each.finding.kind
        accounts.add_row(clean(each.account), each.transport, clean(each.address), Text(kind, style=style))
        for c in each.channels:
            channels.add_row(clean(each.account), *(clean(v or "") for v in (c.platform, c.platformid, c.name)))
    out.print(accounts)
    if channels.row_count:
        out.print(channels)
    for line in _remarks(checked):
        out.print(line)


def _remarks(checked: list[_Checked]) -> Iterator[RenderableType]:
    """What failed and what to do about it, then what should be known."""
    from rich.padding import Padding

    from afilsql.display import clean

    for each in checked:
        if not each.finding.is_ok:
            yield _remark(each.account, each.finding.what, below=bool(each.finding.advice))
            if each.finding.advice:
                yield Padding(clean(each.finding.advice), (0, 1, 1, 3), expand=False)
        for text in each.notes:
            yield _remark(each.account, text)


def _remark(account: str, text: str, *, below: bool = False) -> RenderableType:
    from rich.padding import Padding
    from rich.text import Text

    from afilsql.display import clean

    said = Text.assemble(clean(account), ": ", clean(text))
    said.stylize("bold", 0, len(account))
    return Padding(said, (0, 1, 0 if below else 1, 1), expand=False)
