"""Direct calls on the engine: each test gets a connection to the shared database with its tables emptied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from afilsql.outbox.engine import create_engine

try:
    from pyodbc import Error as DriverError
except ImportError:  # no unixODBC here: the tests skip, but must still be collected and counted

    class DriverError(Exception):  # type: ignore[no-redef]
        """Stands in for pyodbc.Error."""


TABLES = ("response", "attempt", "outbox", "chat_channel", "chat", "chat_message", "account", "worker", "event_log")


@pytest.fixture(scope="session")
def session(tsql_url: str) -> Iterator[Any]:
    """One pyodbc connection in autocommit for all tests: a procedure's first run in a session is the slow one."""
    engine = create_engine(tsql_url, autocommit=True)
    raw = engine.raw_connection()
    yield raw.driver_connection
    raw.close()
    engine.dispose()


@pytest.fixture
def connection(session: Any) -> Any:
    """The connection, with the tables emptied."""
    cursor = session.cursor()
    cursor.execute("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
    for table in TABLES:
        try:
            cursor.execute(f"DELETE FROM afil.{table}")
        except DriverError:  # Babelfish 4.3 doubles the schema's name, once, when a plan it kept became invalid
            cursor.execute(f"DELETE FROM afil.{table}")
    return session


@pytest.fixture
def query(connection: Any) -> Callable[..., list[Any]]:
    """Run T-SQL and return the rows of its last result set."""

    def run(sql: str, *values: object) -> list[Any]:
        cursor = connection.cursor()
        cursor.execute(sql, values)
        rows: list[Any] = []
        while True:
            if cursor.description:
                rows = cursor.fetchall()
            if not cursor.nextset():
                return rows

    return run
