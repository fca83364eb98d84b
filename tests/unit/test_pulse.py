"""Whether the worker's loop moves can be told from outside it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from afilsql.delivery.pulse import Pulse
from afilsql.errors import DatabaseUnavailable
from afilsql.outbox.records import Result
from tests.patience import PATIENCE
from tests.unit.fake_outbox import FakeOutbox
from tests.unit.test_worker import Watched, wait_for


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Counting(Pulse):
    """Counts its beats."""

    beats = 0

    def beat(self) -> None:
        super().beat()
        self.beats += 1


def test_a_pulse_counts_from_the_latest_beat_and_before_the_first_from_its_making() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    clock.now += 3
    assert pulse.age() == 3
    pulse.beat()
    assert pulse.age() == 0
    clock.now += 2
    assert pulse.age() == 2


def test_an_idle_worker_keeps_beating() -> None:
    pulse = Counting()
    with Watched(FakeOutbox(), pulse=pulse).running():
        wait_for(lambda: pulse.beats > 6)


def test_a_worker_that_waits_for_its_database_keeps_beating() -> None:
    def away(results: Sequence[Result]) -> None:
        raise DatabaseUnavailable("no")

    outbox, pulse = FakeOutbox(), Counting()
    outbox.fail = away
    with Watched(outbox, pulse=pulse).running():
        wait_for(lambda: pulse.beats > 6)


def test_a_loop_that_hangs_in_the_database_stops_beating() -> None:
    outbox, pulse, inside, go = FakeOutbox(), Counting(), threading.Event(), threading.Event()

    def hang(results: Sequence[Result]) -> None:
        inside.set()
        go.wait(PATIENCE)

    outbox.fail = hang
    with Watched(outbox, pulse=pulse).running():
        try:
            assert inside.wait(PATIENCE)
            stood = pulse.beats
            assert not go.wait(0.3)
            assert pulse.beats == stood
        finally:
            go.set()
        wait_for(lambda: pulse.beats > stood)
