"""Listening in the embedded database: by the log's size and time, and by a statement only when these changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from afilsql.deploy import migrate
from afilsql.outbox import open_outbox
from afilsql.outbox.records import Heard, Request
from afilsql.outbox.sqlite import SqliteOutbox

REQUEST = Request("getchatchannels", {})


class Counting(SqliteOutbox):
    """Counts how often it goes to its database."""

    asked = 0

    def _cursor(self) -> AbstractContextManager[sqlite3.Cursor]:
        self.asked += 1
        return super()._cursor()

    def asking(self, after: int) -> tuple[Heard, int]:
        """Listen for a moment; return what was heard, and how often the database was asked for it."""
        before = self.asked
        heard = self.listen(after, 0.0)
        return heard, self.asked - before


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{(tmp_path / 'outbox.db').as_posix()}"
    migrate(url)
    return url


@pytest.fixture
def outbox(url: str) -> Iterator[Counting]:
    with Counting(url) as outbox:
        outbox.exchange("w")
        yield outbox


def test_nothing_is_asked_while_nobody_writes(outbox: Counting) -> None:
    assert outbox.asking(0) == (Heard(0, new=False), 1)
    assert outbox.asking(0) == (Heard(0, new=False), 0)


def test_nothing_is_asked_while_only_the_listeners_own_exchanges_write(outbox: Counting, tmp_path: Path) -> None:
    log = tmp_path / "outbox.db-wal"
    outbox.asking(0)
    for _ in range(3):
        written = log.stat().st_mtime_ns, log.stat().st_size
        outbox.exchange("w")
        assert (log.stat().st_mtime_ns, log.stat().st_size) != written
        assert outbox.asking(0) == (Heard(0, new=False), 0)


def test_what_others_write_is_looked_at(outbox: Counting, url: str) -> None:
    outbox.asking(0)
    with open_outbox(url) as other:
        other.exchange("another worker")
        assert outbox.asking(0) == (Heard(0, new=False), 1)
        id = other.enqueue(REQUEST)
    assert outbox.asking(0) == (Heard(id, new=True), 1)


def test_what_others_write_before_an_exchange_of_the_listener_is_still_looked_at(outbox: Counting, url: str) -> None:
    outbox.asking(0)
    with open_outbox(url) as other:
        id = other.enqueue(REQUEST)
        outbox.exchange("w")
        assert outbox.asking(0) == (Heard(id, new=True), 1)


def test_a_request_of_the_listeners_own_process_is_heard(outbox: Counting) -> None:
    outbox.asking(0)
    id = outbox.enqueue(REQUEST)
    assert outbox.asking(0) == (Heard(id, new=True), 1)


def test_a_database_that_nobody_has_opened_is_not_made_by_listening(tmp_path: Path) -> None:
    with SqliteOutbox(f"sqlite:///{(tmp_path / 'missing.db').as_posix()}") as outbox:
        assert outbox.listen(3, 0.0) == Heard(3, new=False)
    assert list(tmp_path.iterdir()) == []
