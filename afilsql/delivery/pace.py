"""How long a worker waits before its next exchange where nothing bids it come earlier. Pure."""

from __future__ import annotations

from collections.abc import Callable

#: All in seconds. An idle worker asks again after IDLE_FIRST, doubling up to IDLE_LAST; a database that is away is
#: tried after OUTAGE_FIRST, doubling up to OUTAGE_LAST; a busy worker still shows itself every HEARTBEAT.
IDLE_FIRST, IDLE_LAST = 0.1, 2.15
OUTAGE_FIRST, OUTAGE_LAST = 0.1, 5.0
HEARTBEAT = 10.0
#: Share by which pauses are cut at random. Idle workers only need keeping apart, and ask no oftener for it than once in
#: two seconds; those that all wait for one database must not come back to it at once.
IDLE_SPREAD, OUTAGE_SPREAD = 0.02, 0.5


class Pace:
    """Follows what the exchanges bring.

    Args:
        random: Returns numbers in [0, 1).
        idle: The first and the longest pause of an idle worker.
        heartbeat: The longest pause of all.
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        idle: tuple[float, float] = (IDLE_FIRST, IDLE_LAST),
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self.heartbeat = heartbeat
        self._random = random
        self._idle_first, self._idle_last = idle
        self._idle = self._idle_first
        self._outage = OUTAGE_FIRST

    def busy(self) -> None:
        """Note that something was taken, or ended."""
        self._idle = self._idle_first

    def idle(self) -> float:
        """Return the seconds until the next exchange of a worker with free senders."""
        pause = self._cut(self._idle, IDLE_SPREAD)
        self._idle = min(self._idle_last, self._idle * 2)
        return pause

    def connected(self) -> None:
        """Note that the database took part."""
        self._outage = OUTAGE_FIRST

    def outage(self) -> float:
        """Return the seconds until a database that is away is tried again."""
        pause = self._cut(self._outage, OUTAGE_SPREAD)
        self._outage = min(OUTAGE_LAST, self._outage * 2)
        return pause

    def _cut(self, seconds: float, spread: float) -> float:
        return seconds * (1 - spread * (1 - self._random()))
