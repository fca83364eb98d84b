"""How many rows a worker takes beyond what its senders can begin with at once, and when it exchanges. Pure.

While results travel to the database and rows come back, calls go on ending; a sender whose call ended then finds its
next row here already, so that none waits for an exchange. A row taken ahead is begun within one or two exchanges; a
worker that is killed meanwhile leaves it as unknown as one in flight, since nobody can tell them apart. With on_unknown
"hold", where each of those costs a person's time, nothing is taken ahead.
"""

from __future__ import annotations

from collections import deque

from afilsql.outbox.records import OnUnknown

#: Exchanges looked back on.
LATEST = 4
#: Seconds in which others may join a call that has ended, before their results are handed in: where senders wait for
#: the exchange, and where they do not.
LINGER, LINGER_AHEAD = 0.015, 0.04


class Ahead:
    """Follows how many calls end from one exchange to the next, and how long an exchange takes."""

    def __init__(self) -> None:
        self._batches: deque[int] = deque(maxlen=LATEST)
        self._seconds = 0.0

    def exchanged(self, results: int, seconds: float) -> None:
        """Note how many results an exchange handed in, and how long it took, its wait for other workers included."""
        self._batches.append(results)
        self._seconds = seconds

    def rows(self, concurrency: int, on_unknown: OnUnknown) -> int:
        """Return how many rows to take ahead, for so many calls at a time."""
        if on_unknown == "hold":
            return 0
        return min(concurrency, max(self._batches, default=0))

    def patience(self, concurrency: int, in_flight: int) -> tuple[int, float]:
        """Return (how many results are enough for an exchange, seconds to wait for them after the first).

        Senders without a row wait for the exchange, so it comes soon. While there are rows ahead, a fuller batch costs
        nobody anything, as long as some rows are left for the time of the exchange; to let half of the time pass
        between exchanges leaves the database to other workers.

        Args:
            concurrency: Calls at a time.
            in_flight: Rows that have been taken and whose results are not there yet.
        """
        if in_flight < concurrency:
            return max(1, concurrency // 4), LINGER
        return max(1, concurrency * 3 // 4), max(LINGER_AHEAD, self._seconds)
