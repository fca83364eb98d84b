"""Figures of the overview, shared by all who look: asked for anew every few seconds at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from afilsql.outbox.browse import Browser, Minute, Overview

T = TypeVar("T")

#: Seconds for which a figure is told again.
FRESH_SECONDS = 3.0
#: Minutes of a point of the day's chart; requests that end may be written this much late.
_QUARTER, _LATE = 15, timedelta(minutes=2)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Point:
    """Requests sent and failed within `minutes` from `at` on."""

    at: datetime
    minutes: int
    sent: int
    failed: int


class Fresh(Generic[T]):
    """A value that is told again for a while; of many who ask at a time, one fetches."""

    def __init__(self, fetch: Callable[[], T], monotonic: Callable[[], float]) -> None:
        self._fetch, self._monotonic = fetch, monotonic
        self._kept: tuple[float, T] | None = None
        self._lock = threading.Lock()

    def __call__(self) -> T:
        with self._lock:
            if self._kept is None or self._monotonic() - self._kept[0] >= FRESH_SECONDS:
                self._kept = None
                self._kept = (self._monotonic(), self._fetch())
            return self._kept[1]

    def forget(self) -> None:
        """Fetch when asked next: something was done to it."""
        with self._lock:
            self._kept = None


class Figures:
    """The overview, and what was sent and failed minute by minute.

    Args:
        browser: Where from. The first look reads the last day's part of an index, later ones the last minutes'.
        clock: The time in UTC.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        browser: Browser,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._browser, self._clock = browser, clock
        self._minutes: dict[datetime, Minute] = {}
        self._read_to: datetime | None = None
        self._overview = Fresh(browser.overview, monotonic)
        self._points = Fresh(self._read, monotonic)

    def overview(self) -> Overview:
        """The queue at a glance."""
        return self._overview()

    def hour(self) -> list[Point]:
        """The last 60 minutes, one point each."""
        return self._points()[0]

    def day(self) -> list[Point]:
        """The last 24 hours, a point every 15 minutes."""
        return self._points()[1]

    def forget(self) -> None:
        """Look again when asked next."""
        self._overview.forget()

    def _read(self) -> tuple[list[Point], list[Point]]:
        now = self._clock().replace(second=0, microsecond=0)
        start = max(now - _DAY, self._read_to - _LATE) if self._read_to else now - _DAY
        found = self._browser.finished_since(start)
        kept = {at: m for at, m in self._minutes.items() if now - _DAY <= at < start}
        self._minutes = kept | {m.at: m for m in found}
        self._read_to = now
        quarter = now.replace(minute=now.minute - now.minute % _QUARTER)
        return (
            self._sums(now - timedelta(minutes=59), 1, 60),
            self._sums(quarter - _DAY + timedelta(minutes=_QUARTER), _QUARTER, 96),
        )

    def _sums(self, start: datetime, minutes: int, count: int) -> list[Point]:
        points = []
        for n in range(count):
            at = start + timedelta(minutes=n * minutes)
            inside: Sequence[Minute] = [
                m for k in range(minutes) if (m := self._minutes.get(at + timedelta(minutes=k))) is not None
            ]
            points.append(Point(at, minutes, sum(m.sent for m in inside), sum(m.failed for m in inside)))
        return points
