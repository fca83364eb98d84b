"""Requests written in a transaction of the caller's own: they commit and are rolled back with it, on each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from afilsql.errors import InvalidParameter, SchemaOutOfDate
from afilsql.outbox.records import Account, Request
from tests.contract.conftest import Engine


class Base(DeclarativeBase):
    """Tables of the caller's."""


class Order(Base):
    """A row that is to be there with its message, or not at all."""

    __tablename__ = "callers_order"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(sa.Unicode(100))


def request(message: str = "hi", *, platform: str = "whatsapp", **options: Any) -> Request:
    chat = {"platform": platform, "platformid": "100", "destination": "1"}
    return Request("sendmessage", chat | {"message": message}, **options)


@pytest.fixture(scope="module")
def engine_for() -> Iterator[Callable[[str], sa.Engine]]:
    """The caller's own engine for a URL, as SQLAlchemy makes it by itself; kept, as the callers' programs do."""
    made: dict[str, sa.Engine] = {}

    def engine_for(url: str) -> sa.Engine:
        if url not in made:
            made[url] = sa.create_engine(url)
        return made[url]

    yield engine_for
    for engine in made.values():
        engine.dispose()


@pytest.fixture
def database(engine: Engine, engine_for: Callable[[str], sa.Engine]) -> Iterator[sa.Engine]:
    """The caller's own engine, with their table in the outbox's database."""
    made = engine_for(engine.url)
    Base.metadata.drop_all(made)
    Base.metadata.create_all(made)
    yield made
    Base.metadata.drop_all(made)


def orders(database: sa.Engine) -> list[int]:
    with database.connect() as connection:
        return list(connection.scalars(sa.select(Order.id).order_by(Order.id)))


def messages(engine: Engine) -> list[str]:
    return [item.parameters["message"] for item in reversed(engine.outbox.items())]


def test_a_row_and_its_message_commit_together(engine: Engine, database: sa.Engine) -> None:
    with Session(database) as session:
        session.add(Order(id=1, state="sent"))
        id = engine.outbox.enqueue(request("ñ 👋 " + "x" * 5000), connection=session)
        session.commit()
    assert orders(database) == [1]
    item = engine.outbox.get(id).item
    assert (item.status, item.parameters["message"]) == ("queued", "ñ 👋 " + "x" * 5000)
    assert engine.take_ids() == [id]


def test_both_are_gone_when_it_is_rolled_back(engine: Engine, database: sa.Engine) -> None:
    with Session(database) as session:
        session.add(Order(id=1, state="sent"))
        session.flush()
        engine.outbox.enqueue_many([request("a"), request("b")], connection=session)
        session.rollback()
    with database.connect() as connection:
        engine.outbox.enqueue(request(), connection=connection)
    assert (orders(database), messages(engine)) == ([], [])


def test_the_callers_failure_takes_the_message_along(engine: Engine, database: sa.Engine) -> None:
    with pytest.raises(sa.exc.IntegrityError), Session(database) as session, session.begin():
        engine.outbox.enqueue(request(), connection=session)
        session.execute(sa.insert(Order), [{"id": 1, "state": "a"}, {"id": 1, "state": "b"}])
    assert (orders(database), messages(engine)) == ([], [])


def test_a_message_alone_is_a_transaction_too(engine: Engine, database: sa.Engine) -> None:
    with database.begin() as connection:
        ids = engine.outbox.enqueue_many(
            [request("a"), request("b"), request("a", dedup_key="k")], connection=connection
        )
        assert ids == sorted(ids)
    assert messages(engine) == ["a", "b", "a"]
    with database.begin() as connection:
        assert engine.outbox.enqueue(request("c", dedup_key="k"), connection=connection) == ids[-1]
        assert engine.outbox.enqueue_many([], connection=connection) == []
    assert messages(engine) == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (request("", account="shop"), "sendmessage needs @message"),
        (request(account="office"), "@account 'office' is not known"),
        (request(account="shop", platform="telegram"), "@platform 'telegram' is not one of the account 'shop'"),
    ],
    ids=["parameter", "account", "platform"],
)
def test_a_refusal_leaves_the_transaction_as_it_was(
    engine: Engine, database: sa.Engine, bad: Request, error: str
) -> None:
    engine.outbox.announce([Account("shop", ("whatsapp",))])
    good = request("good", account="shop")
    with Session(database) as session:
        session.add(Order(id=1, state="sent"))
        session.flush()
        engine.outbox.enqueue(good, connection=session)
        with pytest.raises(InvalidParameter, match=f"^request 3: {error}"):
            engine.outbox.enqueue_many([good, good, bad], connection=session)
        session.add(Order(id=2, state="sent"))
        engine.outbox.enqueue(good, connection=session)
        session.commit()
    assert orders(database) == [1, 2]
    assert messages(engine) == ["good", "good"]


def test_a_refusal_at_the_start_leaves_a_transaction_that_commits_the_rest(engine: Engine, database: sa.Engine) -> None:
    engine.outbox.announce([Account("shop")])
    with Session(database) as session:
        with pytest.raises(InvalidParameter, match="@account 'office'"):
            engine.outbox.enqueue(request(account="office"), connection=session)
        session.add(Order(id=1, state="sent"))
        session.commit()
    assert (orders(database), messages(engine)) == ([1], [])


def test_a_savepoint_of_the_callers_takes_back_what_was_written_since(engine: Engine, database: sa.Engine) -> None:
    with Session(database) as session:
        session.add(Order(id=1, state="sent"))
        engine.outbox.enqueue(request("kept"), connection=session)
        nested = session.begin_nested()
        engine.outbox.enqueue(request("taken back"), connection=session)
        nested.rollback()
        engine.outbox.enqueue(request("kept too"), connection=session)
        session.commit()
    assert (orders(database), messages(engine)) == ([1], ["kept", "kept too"])


def test_a_connection_in_autocommit_writes_at_once(engine: Engine, database: sa.Engine) -> None:
    autocommit = sa.create_engine(engine.url, isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        engine.outbox.enqueue(request(), connection=connection)
        assert messages(engine) == ["hi"]
    autocommit.dispose()


def test_a_scoped_session_is_a_session(engine: Engine, database: sa.Engine) -> None:
    scoped = scoped_session(sessionmaker(database))
    engine.outbox.enqueue(request(), connection=scoped)
    scoped.commit()
    scoped.remove()
    assert messages(engine) == ["hi"]


def test_a_database_without_an_outbox_is_said_to_have_none(engine: Engine, database: sa.Engine) -> None:
    mssql = database.dialect.name == "mssql"
    other = sa.create_engine(database.url.set(database="master") if mssql else "sqlite://")
    with other.connect() as connection, pytest.raises(SchemaOutOfDate, match="afilsql migrate"):
        engine.outbox.enqueue(request(), connection=connection)
    other.dispose()
