"""Who watches a worker from outside: told of each beat of its loop and of each event, in the loop's own thread.

Nothing here has a thread that tells of life by itself: a loop that stands still tells nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from afilsql.delivery import events
from afilsql.delivery.events import Event
from afilsql.delivery.pulse import FROZEN, Pulse
from afilsql.service.notify import Notifier

#: Seconds between two tellings, at most.
EVERY = 10.0
#: Seconds beyond the grace time until a stopped worker has ended: its last exchange and its alerts.
STOP_MARGIN = 75.0


class Beaten(Protocol):
    """Something that is told that the loop moves; another Pulse, too."""

    def beat(self) -> None:
        """Take note that the loop moves."""


class Watcher(Beaten, Protocol):
    """Somebody outside who is told how a worker does."""

    def notice(self, event: Event) -> None:
        """Take note of an event."""


class WatchedPulse(Pulse):
    """A pulse that others are told of.

    Args:
        watchers: Those who are told.
        monotonic: Seconds that never go back.
    """

    def __init__(self, watchers: Sequence[Beaten], monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(monotonic)
        self._watchers = watchers

    def beat(self) -> None:
        """Note that the loop moved, and tell."""
        super().beat()
        for watcher in self._watchers:
            watcher.beat()


class Manager:
    """Tells systemd that the worker is ready, moves, reloads and stops, and how much it has done.

    Until the first exchange has succeeded each telling asks for more time to start, so that a database that is away
    does not end a worker whose loop moves.

    Args:
        notifier: Where to tell it.
        watchdog: Seconds after which systemd takes the worker for frozen, None when it does not watch.
        grace_seconds: How long calls in flight may take once the worker is stopped.
        monotonic: Seconds of CLOCK_MONOTONIC, which systemd compares with its own.
    """

    def __init__(
        self,
        notifier: Notifier,
        *,
        watchdog: float | None,
        grace_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.grace_seconds = grace_seconds
        self._notifier = notifier
        self._every = EVERY if watchdog is None else min(EVERY, watchdog / 4)
        self._monotonic = monotonic
        self._next = float("-inf")
        self._ready = False
        self._away = False
        self._calls: Counter[str] = Counter()

    def beat(self) -> None:
        """Tell that the loop moves, unless that was told a moment ago."""
        now = self._monotonic()
        if now < self._next:
            return
        self._next = now + self._every
        if self._ready:
            self._notifier.tell(WATCHDOG=1, STATUS=self._status())
        else:
            self._notifier.tell(STATUS=self._status(), EXTEND_TIMEOUT_USEC=_usec(FROZEN))

    def notice(self, event: Event) -> None:
        """Tell of what matters to systemd; count the rest."""
        match event:
            case events.Ready():
                self._ready = True
                self._notifier.tell(READY=1, WATCHDOG=1, STATUS=self._status())
            case events.Stopping(in_flight):
                more = _usec(self.grace_seconds + STOP_MARGIN)
                self._notifier.tell(
                    STOPPING=1, STATUS=f"stopping, {in_flight} calls in flight", EXTEND_TIMEOUT_USEC=more
                )
            case events.DatabaseLost() | events.DatabaseBack():
                self._away = isinstance(event, events.DatabaseLost)
                self._next = float("-inf")
            case events.Delivered() | events.ReadBack():
                self._calls[event.kind] += 1

    def reloading(self) -> None:
        """Tell that the settings are being read; `reloaded` must follow."""
        if self._ready:
            self._notifier.tell(RELOADING=1, MONOTONIC_USEC=_usec(self._monotonic()))

    def reloaded(self) -> None:
        """Tell that they have been read, whether they were taken or not."""
        if self._ready:
            self._notifier.tell(READY=1)

    def _status(self) -> str:
        if self._away or not self._ready:
            return "waiting for the database"
        done = self._calls
        return (
            f"delivering: {done['sent']} sent, {done['failed']} failed, {done['retry']} to be tried again, "
            f"{done['uncertain']} uncertain since the start"
        )


class PulseFile:
    """Keeps a file that says when the loop last moved, for a health check that has no port to ask.

    Args:
        path: The file; it is replaced as a whole.
        monotonic: Seconds since this machine started.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._next = float("-inf")
        self._state = "starting"
        self._lock = threading.Lock()  # of several databases' loops one may beat while another tells of an event

    def beat(self) -> None:
        """Write the file, unless that was done a moment ago. One that cannot be written goes stale, as it should."""
        with self._lock:
            now = self._monotonic()
            if now >= self._next:
                self._write(now)

    def notice(self, event: Event) -> None:
        """Write at once that the worker is ready, or stops."""
        if isinstance(event, events.Ready | events.Stopping):
            with self._lock:
                self._state = "ready" if isinstance(event, events.Ready) else "stopping"
                self._write(self._monotonic())

    def _write(self, now: float) -> None:
        self._next = now + EVERY / 2
        fresh = self._path.with_name(f"{self._path.name}.new")
        with suppress(OSError):
            fresh.write_text(f"{now:.1f} {self._state}\n", encoding="ascii")
            fresh.replace(self._path)


def read_pulse(path: Path, monotonic: Callable[[], float] = time.monotonic) -> tuple[float, str] | None:
    """Return how many seconds ago a worker's loop moved, and its state; None when the file does not say.

    Args:
        path: A PulseFile's.
        monotonic: Seconds since this machine started.
    """
    try:
        moved, state = path.read_text(encoding="ascii").split()
        return monotonic() - float(moved), state
    except (OSError, ValueError):
        return None


def _usec(seconds: float) -> int:
    return int(seconds * 1_000_000)
