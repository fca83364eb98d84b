"""How many rows a worker takes beyond what its senders can begin with at once. Pure.

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


class Ahead:
    """Follows how many calls end from one exchange to the next."""

    def __init__(self) -> None:
        self._batches: deque[int] = deque(maxlen=LATEST)

    def exchanged(self, results: int) -> None:
        """Note how many results an exchange handed in."""
        self._batches.append(results)

    def rows(self, concurrency: int, on_unknown: OnUnknown) -> int:
        """Return how many rows to take ahead, for so many calls at a time."""
        if on_unknown == "hold":
            return 0
        return min(concurrency, max(self._batches, default=0))
