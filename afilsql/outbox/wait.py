"""Wait for what becomes of a request: the client's side of the procedures' @wait_ms."""

from __future__ import annotations

import time
from collections.abc import Callable

from afilsql.outbox.base import Outbox
from afilsql.outbox.records import ItemDetail

#: Seconds between two looks: the first pause, its growth, the longest.
PAUSE_FIRST, PAUSE_GROWTH, PAUSE_LAST = 0.05, 1.5, 1.0


class Patience:
    """When to look again, and when to stop: what all that wait for a request share.

    Args:
        seconds: How long at most.
        monotonic: Seconds that never go back.
    """

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds
        self._pause = PAUSE_FIRST

    def after(self, detail: ItemDetail) -> float | None:
        """Return the seconds until the next look; None when the request is finished or the time is over."""
        left = self._end - self._monotonic()
        if detail.item.completed_at is not None or left <= 0:
            return None
        pause = min(self._pause, left)
        self._pause = min(self._pause * PAUSE_GROWTH, PAUSE_LAST)
        return pause


def wait_for(
    outbox: Outbox,
    id: int,
    timeout: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> ItemDetail:
    """Return the request once it is finished, or as it stands when the time is over.

    Args:
        outbox: Where the request is.
        id: Its id.
        timeout: Seconds to wait at most.
        sleep: Waits a number of seconds.
        monotonic: Seconds that never go back.

    Raises:
        RequestNotFound: No request has this id.
        DatabaseError: The outbox cannot be read.
    """
    patience = Patience(timeout, monotonic)
    while (pause := patience.after(detail := outbox.get(id))) is not None:
        sleep(pause)
    return detail
