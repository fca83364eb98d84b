"""What the retention settings no longer keep is purged now and then, a batch at a time, between exchanges."""

from __future__ import annotations

from collections.abc import Callable

from afilsql.errors import DatabaseError
from afilsql.outbox.base import Outbox

#: Seconds between two purges, and between batches of one.
EVERY, AGAIN = 60.0, 1.0


class Tidying:
    """Purges old requests of an outbox when it is time.

    Args:
        outbox: Where they are.
        monotonic: Seconds that never go back.
    """

    def __init__(self, outbox: Outbox, monotonic: Callable[[], float]) -> None:
        self._outbox = outbox
        self._monotonic = monotonic
        self._due = monotonic() + EVERY

    def do(self) -> None:
        """Purge a batch, if it is time."""
        if self._monotonic() < self._due:
            return
        try:
            more = self._outbox.apply_retention()
        except DatabaseError:  # an outage is the exchange's to notice, and nothing is lost by purging later
            more = False
        self._due = self._monotonic() + (AGAIN if more else EVERY)
