"""A new request wakes an idle worker, and nothing about that can hurt a delivery."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, cast

import pytest

from afilsql.delivery import events
from afilsql.delivery.bell import Bell
from afilsql.delivery.pace import Pace
from afilsql.errors import DatabaseUnavailable
from afilsql.outbox.records import Heard
from tests.unit.fake_outbox import FakeOutbox
from tests.unit.test_worker import Client, Watched, after, wait_for

#: Seconds; who asks again before a test is over was woken.
HOUR = 3600.0


class Told:
    """Listens as the test says: each call waits for the next answer of the test, which may be an error to raise."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self._answers: SimpleQueue[Heard | Exception | None] = SimpleQueue()

    def __call__(self, after: int, wait: float) -> Heard | None:
        self.calls.append(after)
        answer = self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def say(self, answer: Heard | Exception | None) -> None:
        self._answers.put(answer)


def sleepy(outbox: FakeOutbox, client: Client | None = None) -> Watched:
    """A worker that asks once an hour when it is idle."""
    return Watched(outbox, client, pace=Pace(lambda: 0.0, idle=(HOUR, HOUR), heartbeat=HOUR))


def bell_of(hear: Callable[[int, float], Heard | None], again: float = 0.001) -> tuple[Bell, SimpleQueue[str]]:
    outbox, rings = FakeOutbox(), SimpleQueue[str]()
    outbox.hear = hear
    return Bell(cast(Any, outbox), lambda: rings.put("ring"), again=again), rings


def test_a_new_request_wakes_an_idle_worker() -> None:
    outbox, told = FakeOutbox(), Told()
    outbox.hear = told
    with sleepy(outbox).running():
        wait_for(lambda: told.calls)
        id = outbox.add()
        told.say(Heard(id, new=True))
        wait_for(lambda: outbox.results)


def test_a_worker_listens_again_from_where_it_heard_something_even_if_it_was_too_late_to_take_it() -> None:
    outbox, told = FakeOutbox(), Told()
    outbox.hear = told
    with sleepy(outbox).running():
        told.say(Heard(7, new=True))
        wait_for(lambda: told.calls == [0, 7])
        told.say(Heard(9, new=True))
        wait_for(lambda: told.calls == [0, 7, 9])
        assert [take for _, take in outbox.exchanges] == [4, 4, 4]


def test_a_worker_without_a_bell_polls() -> None:
    outbox = FakeOutbox()
    with Watched(outbox).running():
        wait_for(lambda: len(outbox.exchanges) > 2)
        outbox.add()
        wait_for(lambda: outbox.results)


@pytest.mark.parametrize("failure", [DatabaseUnavailable("gone"), RuntimeError("broken")])
def test_a_bell_that_fails_stops_no_delivery_and_is_told_to_nobody(failure: Exception) -> None:
    outbox, told = FakeOutbox(), Told()
    outbox.hear = told
    told.say(failure)
    watched = Watched(outbox)
    with watched.running():
        wait_for(lambda: told.calls)
        outbox.add()
        wait_for(lambda: outbox.results)
    assert watched.told(events.DatabaseLost) == []


def test_a_busy_worker_does_not_listen() -> None:
    outbox, go, told = FakeOutbox(1), threading.Event(), Told()
    outbox.hear = told
    watched = Watched(outbox, Client(after(go)))
    with watched.running():
        wait_for(lambda: len(outbox.exchanges) > 2)
        assert (told.calls, outbox.results) == ([], [])
        go.set()
        wait_for(lambda: told.calls)
        assert outbox.results


def test_a_ring_that_comes_when_the_worker_is_busy_again_changes_nothing() -> None:
    outbox, go, told = FakeOutbox(), threading.Event(), Told()
    outbox.hear = told
    watched = Watched(outbox, Client(after(go)))
    with watched.running():
        wait_for(lambda: told.calls)
        outbox.add()
        wait_for(lambda: outbox.leased)
        told.say(Heard(1, new=True))
        go.set()
        wait_for(lambda: outbox.results)
    assert len(outbox.results) == 1


def test_a_stopped_worker_waits_for_no_bell() -> None:
    outbox, told = FakeOutbox(), Told()
    outbox.hear = told
    watched = sleepy(outbox)
    with watched.running() as future:
        wait_for(lambda: told.calls)
        watched.worker.stop()
        future.result(3)


def test_a_bell_rings_once_until_it_is_armed_again() -> None:
    bell, rings = bell_of(lambda after, wait: Heard(after + 1, new=True))
    bell.arm(idle=True)
    assert rings.get(timeout=3) == "ring"
    assert rings.empty()
    bell.arm(idle=True)
    assert rings.get(timeout=3) == "ring"
    bell.close()


def test_what_is_heard_when_the_worker_has_become_busy_does_not_ring() -> None:
    def hear(after: int, wait: float) -> Heard:
        bell.arm(idle=False)
        heard.set()
        return Heard(5, new=True)

    heard = threading.Event()
    bell, rings = bell_of(hear)
    bell.arm(idle=True)
    assert heard.wait(3)
    with pytest.raises(Empty):
        rings.get(timeout=0.05)
    bell.close()


@pytest.mark.parametrize("answer", [None, DatabaseUnavailable("gone")])
def test_a_database_that_could_not_listen_is_asked_to_again_later(answer: Exception | None) -> None:
    told = Told()
    bell, rings = bell_of(told)
    told.say(answer)
    told.say(Heard(3, new=True))
    bell.arm(idle=True)
    assert rings.get(timeout=3) == "ring"
    assert told.calls == [0, 0]
    bell.close()


def test_a_closed_bell_listens_no_more() -> None:
    told, before = Told(), threading.enumerate()
    bell, rings = bell_of(told)
    bell.arm(idle=True)
    wait_for(lambda: told.calls)
    threads = [t for t in threading.enumerate() if t not in before]
    bell.close()
    told.say(Heard(1, new=False))
    (thread,) = threads
    thread.join(3)
    assert (told.calls, rings.empty(), thread.is_alive()) == ([0], True, False)
