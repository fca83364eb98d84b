"""Waiting for what becomes of a request, in a thread and in asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from afilsql import deploy
from afilsql.errors import RequestNotFound
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import Item, ItemDetail, Request, Result
from afilsql.outbox.sqlite import SqliteOutbox
from afilsql.outbox.wait import PAUSE_LAST, wait_for
from afilsql.outbox.wait_async import wait_for_async
from tests.patience import PATIENCE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WAITING = ItemDetail(
    Item(1, uuid4(), "default", "getchats", {}, 5, "queued", NOW, 0, 8, NOW, "me", None, None, None, None), (), None
)
SENT = replace(WAITING, item=replace(WAITING.item, status="sent", completed_at=NOW))


class Finishes:
    """An outbox whose request is finished from the nth look on; a look may have to wait."""

    def __init__(self, at: int, looked: threading.Event | None = None, go: threading.Event | None = None) -> None:
        self.looks, self._at, self._looked, self._go = 0, at, looked, go

    def get(self, id: int) -> ItemDetail:
        self.looks += 1
        if self._looked and self._go:
            self._looked.set()
            assert self._go.wait(PATIENCE), "the event loop was blocked"
        return SENT if self.looks >= self._at else WAITING


class Clock:
    """Seconds that pass by sleeping only."""

    def __init__(self) -> None:
        self.now, self.pauses = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)

    async def sleep_async(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[SqliteOutbox]:
    url = f"sqlite:///{(tmp_path / 'outbox.db').as_posix()}"
    deploy.migrate(url)
    with SqliteOutbox(url) as made:
        yield made


def waited(outbox: Any, timeout: float) -> tuple[ItemDetail, Clock]:
    clock = Clock()
    return wait_for(cast(Outbox, outbox), 1, timeout, sleep=clock.sleep, monotonic=lambda: clock.now), clock


def test_what_is_finished_already_is_returned_without_a_pause() -> None:
    assert waited(Finishes(1), 0)[0] is SENT
    assert waited(Finishes(1), 60)[1].pauses == []


def test_pauses_grow_up_to_the_longest_and_end_with_the_time() -> None:
    detail, clock = waited(Finishes(1000), 10)
    assert detail is WAITING
    assert clock.now == pytest.approx(10)
    assert clock.pauses[:-1] == sorted(clock.pauses[:-1])
    assert (clock.pauses[0] < 0.1, max(clock.pauses)) == (True, PAUSE_LAST)


def test_a_request_that_is_finished_meanwhile_is_returned_at_the_next_look() -> None:
    outbox = Finishes(4)
    detail, clock = waited(outbox, 60)
    assert (detail, outbox.looks, len(clock.pauses)) == (SENT, 4, 3)


def test_asyncio_waits_with_the_same_pauses() -> None:
    clock, outbox = Clock(), Finishes(6)
    detail = asyncio.run(wait_for_async(cast(Outbox, outbox), 1, 60, sleep=clock.sleep_async))
    assert (detail, outbox.looks) == (SENT, 6)
    assert clock.pauses == waited(Finishes(6), 60)[1].pauses


def test_the_event_loop_runs_while_a_look_lasts() -> None:
    looked, go = threading.Event(), threading.Event()

    async def run() -> ItemDetail:
        waiting = asyncio.create_task(wait_for_async(cast(Outbox, Finishes(1, looked, go)), 1, 60))
        while not looked.is_set():
            await asyncio.sleep(0.001)
        go.set()
        return await waiting

    assert asyncio.run(run()) is SENT


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_it_can_be_cancelled_while_a_look_lasts(how: str) -> None:
    looked, go = threading.Event(), threading.Event()

    async def run() -> None:
        waiting = wait_for_async(cast(Outbox, Finishes(1, looked, go)), 1, 60)
        try:
            if how == "timeout":
                async with asyncio.timeout(0.05):
                    await waiting
            task = asyncio.create_task(waiting)
            while not looked.is_set():
                await asyncio.sleep(0.001)
            task.cancel()
            await task
        finally:
            assert not go.is_set()
            go.set()  # the thread ends by itself

    with pytest.raises((asyncio.CancelledError, TimeoutError)):
        asyncio.run(run())


def test_it_can_be_cancelled_between_two_looks() -> None:
    outbox, asleep = Finishes(1000), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(wait_for_async(cast(Outbox, outbox), 1, 60, sleep=sleep))
        await asleep.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert outbox.looks == 1


def test_many_wait_at_once_and_each_is_told_of_its_own(outbox: SqliteOutbox) -> None:
    ids = outbox.enqueue_many([Request("getchats", {"platform": "whatsapp", "platformid": str(n)}) for n in range(60)])

    async def run() -> list[ItemDetail]:
        waiting = [asyncio.create_task(wait_for_async(outbox, id, 60)) for id in ids]
        claims = (await asyncio.to_thread(outbox.exchange, "w", take=500)).claims
        results = [Result(c.id, c.lease_id, c.attempt, "sent", NOW, body=f"answer {c.id}") for c in claims]
        await asyncio.to_thread(outbox.exchange, "w", results=results)
        return await asyncio.gather(*waiting)

    found = asyncio.run(run())
    assert [(d.item.id, d.item.status, d.answer) for d in found] == [(id, "sent", f"answer {id}") for id in ids]


def test_when_the_time_is_over_it_is_returned_as_it_stands_and_an_unknown_one_is_an_error(outbox: SqliteOutbox) -> None:
    id = outbox.enqueue(Request("getchatchannels"))
    assert asyncio.run(wait_for_async(outbox, id, 0.01)).item.status == "queued"
    with pytest.raises(RequestNotFound):
        asyncio.run(wait_for_async(outbox, id + 1, 60))
