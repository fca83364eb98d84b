"""afil.await_request: an idle worker hears of new requests.

On Babelfish it is tried with its WAITFOR left out, so that it looks without pausing: see with_or_without_waitfor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from afilsql.outbox import open_outbox
from afilsql.outbox.base import Outbox
from afilsql.outbox.engine import create_engine, driver_cursor
from afilsql.outbox.records import Heard, Request
from tests.tsql.conftest import DriverError, with_or_without_waitfor

pytestmark = [pytest.mark.tsql, pytest.mark.usefixtures("connection")]

AWAIT = "EXEC afil.await_request @after = ?, @wait_ms = ?"
REQUEST = Request("getchatchannels", {})


@pytest.fixture(scope="module", autouse=True)
def waits(tsql_url: str) -> Iterator[bool]:
    with with_or_without_waitfor(tsql_url, "await_request") as waits:
        yield waits


@pytest.fixture
def outbox(tsql_url: str) -> Iterator[Outbox]:
    with open_outbox(tsql_url) as opened:
        yield opened


@pytest.fixture
def hear(query: Callable[..., list[Any]]) -> Callable[..., tuple[int, bool]]:
    """Await a request; return the latest id and whether one is new."""

    def run(after: int, wait_ms: int = 0) -> tuple[int, bool]:
        (row,) = query(AWAIT, after, wait_ms)
        return row.latest, row.is_new

    return run


def test_a_queued_request_is_heard_at_once_and_once(hear: Any, outbox: Outbox) -> None:
    id = outbox.enqueue(REQUEST)
    assert hear(0, 60_000) == (id, True)
    assert hear(id) == (id, False)


def test_a_request_that_commits_meanwhile_ends_the_waiting(hear: Any, outbox: Outbox) -> None:
    first = outbox.enqueue(REQUEST)
    timer = threading.Timer(0.3, outbox.enqueue, [REQUEST])
    timer.start()
    assert hear(first, 15_000) == (first + 1, True)
    timer.join()


def test_waiting_ends_when_the_time_is_over(hear: Any) -> None:
    began = time.monotonic()
    assert hear(12, 300) == (12, False)
    assert time.monotonic() - began >= 0.3


def test_a_request_that_has_not_committed_is_neither_heard_nor_waited_for(hear: Any, tsql_url: str) -> None:
    engine = create_engine(tsql_url, autocommit=True)
    with closing(engine.raw_connection()) as raw, closing(raw.cursor()) as caller:
        caller.execute("BEGIN TRANSACTION; EXEC afil.get_chat_channels;")
        assert hear(0) == (0, False)
        caller.execute("COMMIT TRANSACTION;")
        assert hear(0)[1]
    engine.dispose()


def test_what_another_worker_took_is_not_new(hear: Any, outbox: Outbox) -> None:
    id = outbox.enqueue(REQUEST)
    assert [c.id for c in outbox.exchange("w", take=1).claims] == [id]
    assert hear(0) == (id, False)


def test_of_many_new_requests_the_newest_are_looked_at(hear: Any, outbox: Outbox, query: Any) -> None:
    ids = outbox.enqueue_many([REQUEST] * 1001)
    query("UPDATE afil.outbox SET status = 'failed', turn = NULL WHERE id > ?", ids[0])
    assert hear(ids[0] - 1) == (ids[-1], False)
    query("UPDATE afil.outbox SET status = 'queued', turn = 0 WHERE id = ?", ids[1])
    assert hear(ids[0] - 1) == (ids[-1], True)


@pytest.mark.parametrize(("after", "wait_ms"), [(None, 0), (0, None), (0, -1), (0, 3_600_001)])
def test_what_makes_no_sense_is_refused(query: Any, after: int | None, wait_ms: int | None) -> None:
    with pytest.raises(DriverError, match="51001"):
        query(AWAIT, after, wait_ms)


def test_the_outbox_hears_what_the_procedure_does(outbox: Outbox) -> None:
    assert outbox.listen(7, 0.1) == Heard(7, new=False)
    id = outbox.enqueue(REQUEST)
    assert outbox.listen(0, 20.0) == Heard(id, new=True)


def test_a_statement_that_listens_may_take_longer_by_that_and_those_after_it_no_longer_than_ever(tsql_url: str) -> None:
    engine = create_engine(tsql_url, autocommit=True)
    with driver_cursor(engine) as cursor:
        connection, usual = cursor.connection, cursor.connection.timeout
    with driver_cursor(engine, patience=2.5) as cursor:
        assert (cursor.connection is connection, connection.timeout) == (True, usual + 3)
    with driver_cursor(engine) as cursor:
        assert (cursor.connection is connection, connection.timeout) == (True, usual)
    engine.dispose()
