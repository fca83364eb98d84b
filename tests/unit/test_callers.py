"""Writing in a caller's transaction: what is refused, and how sqlite3's own transactions are met."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from afilsql import deploy
from afilsql.errors import DatabaseError, DatabaseUnavailable, InvalidParameter
from afilsql.outbox.callers import connection_of
from afilsql.outbox.records import Account, Request
from afilsql.outbox.sqlite import SqliteOutbox
from tests.patience import PATIENCE

CHAT = {"platform": "whatsapp", "platformid": "100", "destination": "1"}


def request(message: str = "hi", **options: Any) -> Request:
    return Request("sendmessage", CHAT | {"message": message}, **options)


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = f"sqlite:///{(tmp_path / 'outbox.db').as_posix()}"
    deploy.migrate(made)
    return made


@pytest.fixture
def outbox(url: str) -> Iterator[SqliteOutbox]:
    with SqliteOutbox(url) as made:
        yield made


def messages(outbox: SqliteOutbox) -> list[str]:
    return [item.parameters["message"] for item in reversed(outbox.items())]


def test_a_connection_to_another_kind_of_database_is_refused() -> None:
    database = sa.create_engine("sqlite://")
    with (
        database.connect() as connection,
        pytest.raises(
            InvalidParameter,
            match=r"one to a sqlite database and this outbox is in mssql: give one to the database of the",
        ),
    ):
        connection_of(connection, "mssql")
    with Session(database) as session, pytest.raises(InvalidParameter, match="one to a sqlite database"):
        connection_of(session, "mssql")
    database.dispose()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (sa.create_engine("sqlite://"), r"of type Engine, not a SQLAlchemy Connection or Session: give one of these"),
        ("sqlite://", r"of type str, not"),
        (
            AsyncSession(create_async_engine("sqlite+aiosqlite://")),
            r"of type AsyncSession, .* write `await it.run_",
        ),
        (create_async_engine("sqlite+aiosqlite://"), r"of type AsyncEngine, not"),
    ],
    ids=["engine", "text", "async session", "async engine"],
)
def test_what_is_no_connection_is_refused_by_its_type(outbox: SqliteOutbox, given: Any, error: str) -> None:
    with pytest.raises(InvalidParameter, match=error):
        outbox.enqueue(request(), connection=given)
    assert messages(outbox) == []


def test_a_session_bound_to_nothing_is_a_database_error(outbox: SqliteOutbox) -> None:
    with Session() as session, pytest.raises(DatabaseError, match="the database layer failed"):
        outbox.enqueue(request(), connection=session)


def test_the_way_of_an_async_session_is_run_sync(url: str, outbox: SqliteOutbox) -> None:
    outbox.announce([Account("default")])

    async def run() -> int:
        database = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
        async with AsyncSession(database) as session:
            await session.run_sync(lambda s: outbox.enqueue(request("rolled back"), connection=s))
            await session.rollback()
            with pytest.raises(InvalidParameter, match="not known"):
                await session.run_sync(lambda s: outbox.enqueue(request(account="x"), connection=s))
            id = await session.run_sync(lambda s: outbox.enqueue(request("committed"), connection=s))
            await session.commit()
        await database.dispose()
        return id

    id = asyncio.run(run())
    assert (messages(outbox), outbox.items()[0].id) == (["committed"], id)


def test_one_who_begins_transactions_by_hand_keeps_them(url: str, outbox: SqliteOutbox) -> None:
    """The recipe of SQLAlchemy for savepoints that hold what was read: BEGIN comes from an event."""
    database = sa.create_engine(url)
    sa.event.listen(database, "connect", lambda raw, _record: setattr(raw, "isolation_level", None))
    sa.event.listen(database, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with database.connect() as connection:
        outbox.enqueue(request("rolled back"), connection=connection)
        connection.rollback()
        outbox.enqueue(request("committed"), connection=connection)
        connection.commit()
    database.dispose()
    assert messages(outbox) == ["committed"]


def test_of_two_transactions_with_one_key_the_second_is_given_the_row_of_the_first(
    url: str, outbox: SqliteOutbox
) -> None:
    database, ids = sa.create_engine(url), []

    def second() -> None:
        with database.begin() as connection:
            ids.append(outbox.enqueue(request("b", dedup_key="k"), connection=connection))

    with database.begin() as connection:
        first = outbox.enqueue(request("a", dedup_key="k"), connection=connection)
        thread = threading.Thread(target=second)
        thread.start()
    thread.join(PATIENCE)
    database.dispose()
    assert (ids, messages(outbox)) == ([first], ["a"])


def test_a_batch_that_breaks_half_way_is_taken_back_and_the_rest_commits(url: str, outbox: SqliteOutbox) -> None:
    database = sa.create_engine(url)
    with database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON outbox WHEN NEW.message = 'b' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    with database.begin() as connection:
        outbox.enqueue(request("first"), connection=connection)
        with pytest.raises(DatabaseError, match="no"):
            outbox.enqueue_many([request("a"), request("b")], connection=connection)
        outbox.enqueue(request("last"), connection=connection)
    database.dispose()
    assert messages(outbox) == ["first", "last"]


def test_an_error_that_ends_the_whole_transaction_is_told_as_it_is(url: str, outbox: SqliteOutbox) -> None:
    database = sa.create_engine(url)
    with database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON outbox BEGIN SELECT RAISE(ROLLBACK, 'all is over'); END"
        )
    with database.connect() as connection:
        with pytest.raises(DatabaseError, match="all is over"):
            outbox.enqueue(request(), connection=connection)
        connection.rollback()
        assert connection.scalar(sa.text("SELECT COUNT(*) FROM outbox")) == 0
    database.dispose()


def test_a_file_that_another_writes_to_for_long_is_unavailable(url: str, outbox: SqliteOutbox) -> None:
    database = sa.create_engine(url, connect_args={"timeout": 0.05})
    with database.connect() as one, database.connect() as other:
        outbox.enqueue(request("a"), connection=one)
        with pytest.raises(DatabaseUnavailable, match="locked"):
            outbox.enqueue(request("b"), connection=other)
        one.commit()
        outbox.enqueue(request("c"), connection=other)
        other.commit()
    database.dispose()
    assert messages(outbox) == ["a", "c"]
