"""How deep the queue is and which accounts are open, read from the database on a connection of its own."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa

from afilsql.outbox.engine import create_engine, translated

QueueState = Literal["queued", "scheduled", "sending", "reading_back", "uncertain"]
AccountState = Literal["open", "held", "breaker_open", "resting"]
ACCOUNT_STATES: tuple[AccountState, ...] = get_args(AccountState)
#: Seconds a statement may take; then this look is given up.
TIMEOUT = 5

# The twins of sql/views/queue_depth.sql and account_states.sql.
_EMBEDDED = (
    "SELECT account, CASE WHEN status = 'uncertain' AND check_at IS NOT NULL THEN 'reading_back' ELSE status END "
    "AS state, COUNT(*) AS items, CASE WHEN status IN ('queued', 'sending') THEN "
    "MAX(0, CAST((JULIANDAY(:now) - JULIANDAY(MIN(due_at))) * 86400 AS INTEGER)) END AS oldest_seconds FROM outbox "
    "WHERE status IN ('queued', 'scheduled', 'sending', 'uncertain') GROUP BY 1, 2",
    "SELECT name AS account, CASE WHEN held_at IS NOT NULL THEN 'held' WHEN tripped_at IS NOT NULL THEN 'breaker_open' "
    "WHEN rest_until > :now THEN 'resting' ELSE 'open' END AS state FROM account",
)
_SERVER = (
    "SELECT account, state, items, oldest_seconds FROM afil.queue_depth",
    "SELECT account, state FROM afil.account_states",
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Requests of one account in one state.

    Attributes:
        oldest_seconds: Since the oldest of those queued or sending is due; None of other states.
    """

    account: str
    state: QueueState
    items: int
    oldest_seconds: float | None


@dataclass(frozen=True, slots=True)
class Depth:
    """The queue, and (account, whether its requests are taken) of each account the database knows."""

    waiting: tuple[Waiting, ...]
    accounts: tuple[tuple[str, AccountState], ...]


class DepthReader:
    """Reads the depth of one database; to be used by one thread at a time.

    Args:
        url: The database.

    Raises:
        ConfigError, DriverMissing: See create_engine.
    """

    def __init__(self, url: str) -> None:
        self._embedded = url.startswith("sqlite")
        self._engine = create_engine(url if self._embedded else _hurried(url), autocommit=True)

    def read(self) -> Depth:
        """Return the depth now. Raises DatabaseError."""
        now = datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
        queue, accounts = _EMBEDDED if self._embedded else _SERVER
        with translated(), closing(self._engine.connect()) as connection:
            found = [self._rows(connection, sql, now) for sql in (queue, accounts)]
        return Depth(
            tuple(Waiting(r.account, r.state, int(r.items), r.oldest_seconds) for r in found[0]),
            tuple((r.account, r.state) for r in found[1]),
        )

    def _rows(self, connection: sa.Connection, sql: str, now: str) -> list[Any]:
        return list(connection.execute(sa.text(sql), {"now": now} if self._embedded else {}))

    def close(self) -> None:
        """Give up the connection."""
        self._engine.dispose()


def _hurried(url: str) -> str:
    """The URL with a time-out of its statements no longer than TIMEOUT."""
    return sa.make_url(url).update_query_dict({"timeout": str(TIMEOUT)}).render_as_string(hide_password=False)
