"""Wait for what becomes of a request: the client's side of the procedures' @wait_ms."""

from __future__ import annotations

import time
from collections.abc import Callable

from afilsql.outbox.base import Outbox
from afilsql.outbox.records import ItemDetail

#: Seconds between two looks: the first pause, its growth, the longest.
PAUSE_FIRST, PAUSE_GROWTH, PAUSE_LAST = 0.05, 1.5, 1.0


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
    end, pause = monotonic() + timeout, PAUSE_FIRST
    while True:
        detail = outbox.get(id)
        left = end - monotonic()
        if detail.item.completed_at is not None or left <= 0:
            return detail
        sleep(min(pause, left))
        pause = min(pause * PAUSE_GROWTH, PAUSE_LAST)
