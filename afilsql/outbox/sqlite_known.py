"""The accounts that workers know, in the embedded database.

The twin of sql/procedures/announce.sql and forget_account.sql.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from afilsql.errors import InvalidParameter
from afilsql.outbox.records import Account
from afilsql.outbox.sqlite_rows import stored
from afilsql.outbox.validate import account_fault


class Run(Protocol):
    """Runs one statement and returns its cursor: `execute` of a cursor, or of a caller's connection."""

    def __call__(self, sql: str, values: tuple[object, ...] = (), /) -> Any: ...


def refuse_unknown(run: Run, account: str, platform: str | None) -> None:
    """Raise InvalidParameter for an account that no worker knows, or a platform it may not use."""
    if why := account_fault(known(run), account, platform):
        raise InvalidParameter(why)


def announce(run: Run, accounts: Sequence[Account], now: datetime) -> None:
    """Make accounts known; what else their rows hold stays."""
    for account in accounts:
        run(
            "INSERT INTO account (name, announced_at, platforms) VALUES (?, ?, ?) ON CONFLICT (name) "
            "DO UPDATE SET announced_at = excluded.announced_at, platforms = excluded.platforms",
            (account.name, stored(now), ",".join(account.platforms) or None),
        )


def forget(run: Run, account: str, user: str, now: datetime) -> bool:
    """Have requests of an account refused; return False when it was not known."""
    sql = "UPDATE account SET announced_at = NULL, platforms = NULL WHERE name = ? AND announced_at IS NOT NULL"
    if not run(sql, (account,)).rowcount:
        return False
    run(
        "INSERT INTO event_log (logged_at, event, detail) VALUES (?, 'account_forgotten', ?)",
        (stored(now), f"{account} ({user})"[:1000]),
    )
    return True


def known(run: Run) -> list[Account]:
    """Return the accounts by name."""
    rows = run("SELECT name, platforms FROM account WHERE announced_at IS NOT NULL ORDER BY name").fetchall()
    return [Account(name, tuple(platforms.split(",")) if platforms else ()) for name, platforms in rows]
