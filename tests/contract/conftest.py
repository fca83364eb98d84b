"""One outbox on every engine: SQLite with a clock the test moves, T-SQL with the server's own."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from afilsql import deploy
from afilsql.api.methods import ListKind
from afilsql.outbox import open_outbox, schema
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import Claim, Exchanged, Request, Result
from afilsql.outbox.sqlite import SqliteOutbox
from tests.emptying import empty

_TABLE = re.compile(rf"\b(FROM|UPDATE|INTO|ON) (?=({'|'.join(t.name for t in schema.metadata.tables.values())})\b)")
#: Seconds that pass by waiting where the clock cannot be moved; of more, these times are set back.
_SLEPT = 4.5
_TIMES = (("subscription", "due_at"), ("chat", "poll_at"), ("account", "poll_tokens_at"), ("outbox", "check_at"))


@dataclass
class Engine:
    """An empty outbox; `again()` opens the same database anew, `later(seconds)` lets time pass."""

    outbox: Outbox
    again: Callable[[], Outbox]
    later: Callable[[float], None]  # on T-SQL more than a few seconds pass for subscriptions only
    now: Callable[[], datetime]
    query: Callable[[str], list[tuple[Any, ...]]]  # a statement on the tables, written without their schema
    url: str

    def send(self, destination: str = "1", message: str = "hi", **options: Any) -> int:
        """Enqueue a message of the conversation with `destination`."""
        parameters = {"platform": "whatsapp", "platformid": "100", "destination": destination, "message": message}
        return self.outbox.enqueue(Request("sendmessage", parameters, **options))

    def take(self, count: int = 500, **options: Any) -> list[Claim]:
        return list(self.outbox.exchange("w", take=count, **options).claims)

    def take_ids(self, count: int = 500, **options: Any) -> list[int]:
        return [c.id for c in self.take(count, **options)]

    def hand_in(self, claim: Claim, kind: str = "sent", *, worker: str = "w", **fields: Any) -> Exchanged:
        return self.outbox.exchange(worker, results=[result(claim, kind, **fields)])

    def receive(self, claim: Claim, kind: ListKind, rows: Sequence[Mapping[str, Any]], **fields: Any) -> Exchanged:
        """Keep a list and hand in its call as sent, as a worker does."""
        assert self.outbox.receive(claim, kind, rows)
        return self.hand_in(claim, **fields)

    def status(self, id: int) -> str:
        return self.outbox.get(id).item.status


def result(claim: Claim, kind: str = "sent", **fields: Any) -> Result:
    known: dict[str, Any] = {"id": claim.id, "lease_id": claim.lease_id, "attempt": claim.attempt, "kind": kind}
    return Result(**(known | {"started_at": datetime.now(UTC)} | fields))


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: migrating for every test would be most of the suite's time."""
    path = tmp_path_factory.mktemp("contract") / "empty.db"
    deploy.migrate(f"sqlite:///{path.as_posix()}")
    return path


@pytest.fixture(scope="session")
def tsql_outbox(tsql_url: str, tsql_connection: Any) -> Iterator[Outbox]:
    """One outbox for all tests: a procedure's first run on a connection is the slow one, and none waits for it."""
    empty(tsql_connection.cursor())
    with open_outbox(tsql_url) as outbox:
        outbox.enqueue(Request("getchatchannels"))
        (claim,) = outbox.exchange("w", take=1).claims
        outbox.exchange("w", results=[result(claim)], take=1)
        yield outbox


@pytest.fixture(params=["sqlite", pytest.param("tsql", marks=pytest.mark.tsql)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    opened: list[Outbox] = []
    if request.param == "sqlite":
        path = tmp_path / "outbox.db"
        shutil.copy(request.getfixturevalue("empty_file"), path)
        passed = [timedelta()]

        def clock() -> datetime:
            return datetime.now(UTC) + passed[0]

        def later(seconds: float) -> None:
            passed[0] += timedelta(seconds=seconds)

        def again() -> Outbox:
            ticks = lambda: time.monotonic() + passed[0].total_seconds()  # noqa: E731 - time passes, nobody sets a clock
            opened.append(SqliteOutbox(f"sqlite:///{path.as_posix()}", clock=clock, monotonic=ticks))
            return opened[-1]

        def query(sql: str) -> list[tuple[Any, ...]]:
            with closing(sqlite3.connect(path)) as connection, connection:
                return connection.execute(sql).fetchall()

        yield Engine(again(), again, later, clock, query, f"sqlite:///{path.as_posix()}")
    else:
        outbox = request.getfixturevalue("tsql_outbox")
        url = request.getfixturevalue("empty_tsql")

        def again() -> Outbox:
            opened.append(open_outbox(url))
            return opened[-1]

        connection = request.getfixturevalue("tsql_connection")

        def query(sql: str) -> list[tuple[Any, ...]]:
            cursor = connection.cursor()
            cursor.execute(_TABLE.sub(r"\1 afil.", sql))
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

        def later(seconds: float) -> None:
            if seconds <= _SLEPT:
                time.sleep(seconds)
                return
            for table, column in _TIMES:
                query(f"UPDATE {table} SET {column} = DATEADD(SECOND, -{seconds:.0f}, {column})")

        yield Engine(outbox, again, later, lambda: datetime.now(UTC), query, url)
    for outbox in opened:
        outbox.close()


@pytest.fixture
def outbox(engine: Engine) -> Outbox:
    return engine.outbox
