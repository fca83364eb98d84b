"""What listening for new requests promises, on each engine that can."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from afilsql.deploy import is_babelfish
from afilsql.outbox.base import LISTEN_ROWS
from afilsql.outbox.engine import create_engine
from afilsql.outbox.records import Heard, Request
from tests.contract.conftest import Engine
from tests.tsql.conftest import with_or_without_waitfor


@pytest.fixture
def hearing(engine: Engine) -> Iterator[Engine]:
    """An engine that can listen, Babelfish too for once."""
    if engine.url.startswith("sqlite"):
        yield engine
        return
    with with_or_without_waitfor(engine.url, "await_request"):
        yield engine


def test_every_engine_listens_but_babelfish(engine: Engine) -> None:
    database = create_engine(engine.url, autocommit=True)
    with database.connect() as connection:
        deaf = database.dialect.name == "mssql" and is_babelfish(connection)
    database.dispose()
    assert engine.outbox.listen(0, 0.0) == (None if deaf else Heard(0, new=False))


def test_a_request_that_is_queued_is_heard_at_once(hearing: Engine) -> None:
    id = hearing.send()
    assert hearing.outbox.listen(id - 1, 60.0) == Heard(id, new=True)


def test_a_request_is_heard_once(hearing: Engine) -> None:
    id = hearing.send()
    assert hearing.outbox.listen(id, 0.0) == Heard(id, new=False)


def test_a_request_that_comes_later_ends_the_waiting(hearing: Engine) -> None:
    first = hearing.send()
    timer = threading.Timer(0.2, hearing.send, ["2"])
    timer.start()
    heard = Heard(first, new=False)
    while not heard.new:  # a call may end early
        answer = hearing.outbox.listen(heard.latest, 5.0)
        assert answer is not None
        heard = answer
    timer.join()
    assert heard == Heard(first + 1, new=True)


def test_waiting_ends_when_the_time_is_over(hearing: Engine) -> None:
    assert hearing.outbox.listen(5, 0.15) == Heard(5, new=False)


def test_what_another_worker_took_is_not_new(hearing: Engine) -> None:
    id = hearing.send()
    assert hearing.take_ids() == [id]
    assert hearing.outbox.listen(id - 1, 0.0) == Heard(id, new=False)


def test_what_is_to_go_later_is_not_new(hearing: Engine) -> None:
    id = hearing.send(send_at=hearing.now() + timedelta(hours=1))
    assert hearing.outbox.listen(id - 1, 0.0) == Heard(id, new=False)


def test_whoever_listens_from_an_earlier_request_hears_a_later_one_again(hearing: Engine) -> None:
    first, second = hearing.send("1"), hearing.send("2")
    assert hearing.outbox.listen(first, 0.0) == Heard(second, new=True)
    assert hearing.outbox.listen(second, 0.0) == Heard(second, new=False)
    assert hearing.outbox.listen(first, 0.0) == Heard(second, new=True)


def test_a_request_that_another_process_wrote_between_two_exchanges_of_the_listener_is_heard(hearing: Engine) -> None:
    assert hearing.outbox.listen(0, 0.0) == Heard(0, new=False)
    hearing.outbox.exchange("w")
    id = hearing.again().enqueue(Request("getchatchannels", {}))
    hearing.outbox.exchange("w")
    assert hearing.outbox.listen(0, 0.0) == Heard(id, new=True)


def test_of_many_new_requests_the_newest_are_looked_at(hearing: Engine) -> None:
    *_, latest = ids = hearing.outbox.enqueue_many([Request("getchatchannels", {})] * (LISTEN_ROWS + 1))
    hearing.query(f"UPDATE outbox SET status = 'failed', turn = NULL WHERE id > {ids[0]}")
    assert hearing.outbox.listen(ids[0] - 1, 0.0) == Heard(latest, new=False)
    hearing.query(f"UPDATE outbox SET status = 'queued', turn = 0 WHERE id = {ids[1]}")
    assert hearing.outbox.listen(ids[0] - 1, 0.0) == Heard(latest, new=True)
