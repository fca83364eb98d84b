"""sd_notify over a real socket, and what of a worker's life is told in it."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from afilsql.delivery import events
from afilsql.service.notify import Notifier, watchdog_seconds
from afilsql.service.watchers import EVERY, Manager, PulseFile, WatchedPulse, read_pulse
from tests.faults import manager as listening

pytestmark = pytest.mark.skipif(os.name == "nt", reason="systemd is Linux's")


class Clock:
    """Seconds that pass when told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path):
    with listening.Manager(tmp_path if request.param == "path" else None) as systemd:
        yield systemd


def test_states_arrive_in_one_message_at_a_path_and_at_an_abstract_name(systemd):
    notifier = Notifier(systemd.address)
    notifier.tell(READY=1, STATUS="delivering")
    assert systemd.next(5) == {"READY": "1", "STATUS": "delivering"}
    notifier.close()
    notifier.tell(READY=1)
    assert systemd.silence(0.05)


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative"])
def test_without_a_socket_that_can_be_reached_nobody_is_told(address):
    notifier = Notifier(address)
    notifier.tell(READY=1)
    assert not notifier.is_heard


def test_a_manager_that_is_gone_or_does_not_read_holds_up_nobody_for_long(tmp_path):
    Notifier(f"{tmp_path}/nothing").tell(READY=1)
    with listening.Manager(tmp_path) as systemd:
        notifier = Notifier(systemd.address)
        for _ in range(3):
            notifier.tell(STATUS="x" * 100_000)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "120000000"}, 120.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_counts_only_when_it_watches_this_process(environ, seconds):
    assert watchdog_seconds(environ, pid=7) == seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told(systemd, clock):
    return Manager(Notifier(systemd.address), watchdog=4.0, grace_seconds=30.0, monotonic=clock)


def test_a_worker_that_waits_for_its_first_exchange_asks_for_time_and_pings_no_watchdog(systemd, told):
    told.beat()
    first = systemd.next(5)
    assert first == {"STATUS": "waiting for the database", "EXTEND_TIMEOUT_USEC": "120000000"}


def test_beats_are_told_four_times_within_the_watchdogs_time_and_no_more_often(systemd, told, clock):
    told.notice(events.Ready())
    assert systemd.next(5)["READY"] == "1"
    told.beat()
    assert systemd.next(5)["WATCHDOG"] == "1"
    clock.now += 0.9
    told.beat()
    assert systemd.silence(0.05)
    clock.now += 0.2
    told.beat()
    assert systemd.next(5)["WATCHDOG"] == "1"


def test_the_status_counts_what_became_of_calls(systemd, told):
    told.notice(events.Ready())
    for kind in ("sent", "sent", "failed", "retry"):
        told.notice(events.Delivered(1, "default", "sendmessage", 1, kind, None, None, 5))
    told.notice(events.ReadBack(1, "default", "uncertain", None, True))
    told.beat()
    systemd.next(5)
    assert systemd.next(5)["STATUS"] == (
        "delivering: 2 sent, 1 failed, 1 to be tried again, 1 uncertain since the start"
    )


def test_an_outage_is_told_with_the_next_beat_and_so_is_its_end(systemd, told):
    told.notice(events.Ready())
    told.beat()
    for event, status in ((events.DatabaseLost("x"), "waiting for"), (events.DatabaseBack(1.0), "delivering")):
        told.notice(event)
        told.beat()
        systemd.until("WATCHDOG", 5)
        while not systemd.heard[-1]["STATUS"].startswith(status):
            systemd.next(5)


def test_stopping_asks_for_the_grace_time_and_some_more(systemd, told):
    told.grace_seconds = 45.0
    told.notice(events.Stopping(3))
    said = systemd.next(5)
    assert said["STOPPING"] == "1"
    assert int(said["EXTEND_TIMEOUT_USEC"]) > 45_000_000
    assert "3 calls" in said["STATUS"]


def test_a_reload_is_told_with_systemds_clock_and_not_before_the_worker_is_ready(systemd, told, clock):
    told.reloading()
    told.reloaded()
    assert systemd.silence(0.05)
    told.notice(events.Ready())
    systemd.next(5)
    told.reloading()
    told.reloaded()
    assert systemd.next(5) == {"RELOADING": "1", "MONOTONIC_USEC": "1000000000"}
    assert systemd.next(5) == {"READY": "1"}


def test_a_pulse_file_says_when_the_loop_moved_and_how_far_the_worker_is(tmp_path, clock):
    file = PulseFile(tmp_path / "pulse", clock)
    assert read_pulse(tmp_path / "pulse", clock) is None
    pulse = WatchedPulse([file], clock)
    pulse.beat()
    assert read_pulse(tmp_path / "pulse", clock) == (0.0, "starting")
    file.notice(events.Ready())
    clock.now += 3
    assert read_pulse(tmp_path / "pulse", clock) == (3.0, "ready")
    pulse.beat()
    assert read_pulse(tmp_path / "pulse", clock) == (3.0, "ready"), "written seldom"
    clock.now += EVERY
    pulse.beat()
    assert (pulse.age(), read_pulse(tmp_path / "pulse", clock)) == (0.0, (0.0, "ready"))
    file.notice(events.Stopping(0))
    assert read_pulse(tmp_path / "pulse", clock) == (0.0, "stopping")


def test_a_pulse_file_that_cannot_be_written_stops_no_worker(tmp_path, clock):
    PulseFile(tmp_path / "missing" / "pulse", clock).beat()
    assert not list(tmp_path.iterdir())


def test_loops_that_beat_and_tell_of_events_at_a_time_leave_a_whole_file_whenever_it_is_read(tmp_path: Path) -> None:
    path, over = tmp_path / "pulse", threading.Event()
    ticks = itertools.count(0, 1000)
    file = PulseFile(path, lambda: float(next(ticks)))
    file.beat()

    def again(tell: Callable[[], None]) -> None:
        while not over.is_set():
            tell()

    tellings = (file.beat, lambda: file.notice(events.Ready()), lambda: file.notice(events.Stopping(0)))
    threads = [threading.Thread(target=again, args=(tell,)) for tell in tellings]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20_000):
            assert read_pulse(path) is not None
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert read_pulse(path, lambda: 0.0)[1] in ("ready", "stopping")  # type: ignore[index]
