"""Direct calls on the engine: each test gets a connection to the shared database with its tables emptied."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from afilsql import deploy
from afilsql.outbox.engine import create_engine
from afilsql.sqlfiles import sql_objects
from tests.emptying import DriverError as DriverError
from tests.emptying import empty


@pytest.fixture(scope="session")
def session(tsql_connection: Any) -> Any:
    """The pyodbc connection in autocommit that all tests use."""
    return tsql_connection


@pytest.fixture(scope="session")
def babelfish(session: Any) -> bool:
    """Whether the engine is Babelfish, see afilsql.deploy.is_babelfish."""
    version = session.cursor().execute("SELECT @@VERSION").fetchone()[0]
    return "babelfish" in str(version).lower()


@contextmanager
def with_or_without_waitfor(url: str, name: str) -> Iterator[bool]:
    """Yield True where the engine has WAITFOR; elsewhere have the procedure there meanwhile, with its WAITFOR left out.

    So it does all but pause, and is proven but for that.
    """
    engine = create_engine(url, autocommit=True)
    with engine.connect() as connection:
        waits = not deploy.is_babelfish(connection)
        (procedure,) = (o for o in sql_objects() if o.name == name)
        for batch in () if waits else procedure.batches:
            text = re.sub(r"WAITFOR DELAY [^;]+;", "", deploy.for_babelfish(batch, procedure.kind))
            connection.exec_driver_sql(text)
        yield waits
        if not waits:
            connection.exec_driver_sql(f"DROP PROCEDURE afil.{name}")
    engine.dispose()


@pytest.fixture
def connection(session: Any) -> Any:
    """The connection, with the tables emptied and the settings as in a new database."""
    empty(session.cursor())
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


PURCHASE = """CREATE TABLE dbo.purchase (
    id int NOT NULL PRIMARY KEY, phone nvarchar(400) NULL, state varchar(20) NULL, total decimal(12, 2) NULL,
    ordered_at datetime2(3) NULL, note nvarchar(max) NULL, paid bit NULL, [odd {name}: x] nvarchar(50) NULL
)"""


class Notifications:
    """A table of a user's, dbo.purchase, and the notifications on it."""

    def __init__(self, query: Callable[..., list[Any]]) -> None:
        self.query = query

    def create(self, **parameters: object) -> str:
        """Create a notification, by default of inserts; return the trigger's T-SQL."""
        given = {
            "name": "t", "table": "dbo.purchase", "on": "insert", "platform": "whatsapp", "platformid": "100",
            "destination": "phone", "message": "Purchase {id}", **parameters,
        }  # fmt: skip
        names = ", ".join(f"@{p} = ?" for p in given)
        return str(self.query(f"EXEC afil.create_notification {names}", *given.values())[0].sql)

    def outbox(self) -> list[Any]:
        return self.query("SELECT * FROM afil.outbox ORDER BY id")

    def messages(self) -> list[str]:
        return [r.message for r in self.outbox()]

    def failures(self) -> list[str]:
        return [
            r.detail
            for r in self.query("SELECT detail FROM afil.event_log WHERE event = 'notification_failed' ORDER BY id")
        ]

    def state(self, name: str = "t") -> tuple[str, str | None]:
        row = self.query("SELECT state, reason FROM afil.notifications WHERE name = ?", name)[0]
        return row.state, row.reason

    def clear(self) -> None:
        for row in self.query("SELECT name FROM afil.notification"):
            self.query("EXEC afil.drop_notification @name = ?", row.name)
        self.query("DROP TABLE IF EXISTS dbo.purchase")


@pytest.fixture
def notifications(query: Callable[..., list[Any]]) -> Iterator[Notifications]:
    """dbo.purchase, empty, with no notification; both are gone afterwards."""
    notifications = Notifications(query)
    notifications.clear()
    query(PURCHASE)
    yield notifications
    query("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
    notifications.clear()


@pytest.fixture
def writer(notifications: Notifications, babelfish: bool, tsql_url: str) -> Iterator[tuple[str, Any]]:
    """A user who may write to dbo.purchase and has no right on afil: the name, and a cursor of a connection."""
    if babelfish:
        pytest.skip("Babelfish chains ownership to no procedure or function: it asks the user for a right on each")
    name, password = f"afil_writer_{secrets.token_hex(4)}", "Aa1_" + secrets.token_hex(12)
    notifications.query(f"CREATE LOGIN {name} WITH PASSWORD = '{password}'")
    notifications.query(f"CREATE USER {name} FOR LOGIN {name}")
    notifications.query(f"GRANT INSERT, UPDATE, SELECT ON dbo.purchase TO {name}")
    url = sa.make_url(tsql_url).set(username=name, password=password).render_as_string(hide_password=False)
    engine = create_engine(url, autocommit=True)
    raw = engine.raw_connection()
    yield name, raw.driver_connection.cursor()
    raw.close()
    engine.dispose()
    notifications.query("DROP TABLE dbo.purchase")
    notifications.query(f"DROP USER {name}")
    notifications.query(f"DROP LOGIN {name}")
