"""Whether the worker's loop moves, for whoever must notice when it does not: a health check, systemd's watchdog."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds without a beat after which a loop counts as frozen. It waits 10 at most for calls to end, and an exchange
#: that a firewall swallowed takes 60: the statement's time-out, and twice as long again for the driver to give up.
FROZEN = 120.0


class Pulse:
    """Beaten by the worker's loop, read from any thread.

    Args:
        monotonic: Seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last = monotonic()

    def beat(self) -> None:
        """Note that the loop moved."""
        self._last = self._monotonic()

    def age(self) -> float:
        """Return the seconds since the loop moved, or since this was made."""
        return self._monotonic() - self._last
