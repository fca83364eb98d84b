"""What every benchmark stands on: the kind of database, fresh ones of it, and how long to take."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self, TypeVar

from afilsql.outbox import schema
from afilsql.outbox.engine import create_engine
from tests.benchmarks.goals import EMBEDDED, Database
from tests.faults.process_campaign import made

T = TypeVar("T")
_KEPT = (schema.error_code, schema.setting, schema.sql_object)


class Stage:
    """A kind of database; a context manager that drops at its end what it made.

    Args:
        database: Which kind.
        server: `sqlite`, or the URL of a T-SQL server's master database.
        quick: Take less time, and say so with each figure.

    Attributes:
        database, quick: As given.
    """

    def __init__(self, database: Database, server: str, *, quick: bool = False) -> None:
        self.database = database
        self.quick = quick
        self._server = server
        self._made = ExitStack()
        self._free: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._made.close()

    def pick(self, full: T, quick: T) -> T:
        """Return what fits the time there is."""
        return quick if self.quick else full

    def say(self, text: str) -> None:
        """Tell whoever waits how far it is."""
        print(f"  {self.database}: {text}", file=sys.stderr, flush=True)

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """Yield the URL of a migrated database with nothing in it.

        A T-SQL engine takes its time to make one, so there it is emptied and used again.
        """
        if self.database == EMBEDDED:
            with made(self._server) as url:
                yield url
        else:
            url = self._free.pop() if self._free else self._made.enter_context(made(self._server))
            yield url
            _empty(url)
            self._free.append(url)


def _empty(url: str) -> None:
    """Empty every table of the outbox but what the migrations wrote."""
    engine = create_engine(url, autocommit=True)
    with engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            if table not in _KEPT:
                connection.exec_driver_sql(f"TRUNCATE TABLE {table.fullname}")
    engine.dispose()


def version(server: str) -> str:
    """Return what a T-SQL server says it is, in one line."""
    engine = create_engine(server)
    with engine.connect() as connection:
        told = " ".join(str(connection.exec_driver_sql("SELECT @@VERSION").scalar()).split())
    engine.dispose()
    return told
