"""Whether a worker lives, and whether it delivers: what /healthz and /readyz answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from afilsql.delivery import events
from afilsql.delivery.events import Event
from afilsql.delivery.pulse import FROZEN, Pulse
from afilsql.outbox.records import Claim, Result
from afilsql.watching.watchers import RoundTrip

#: Seconds within which an exchange has to have succeeded; a worker makes one every ten at least.
LATELY = 60.0


class Health:
    """Watches a worker; its answers are read from any thread.

    Args:
        pulse: Of the worker's loop.
        monotonic: Seconds that never go back.
    """

    def __init__(self, pulse: Pulse, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pulse = pulse
        self._monotonic = monotonic
        self._exchanged_at: float | None = None
        self._lost_at: float | None = None
        self._stopping = False

    def frozen(self) -> str | None:
        """Return why the process should be restarted, None when it need not."""
        age = self._pulse.age()
        return f"the worker's loop has not moved for {age:.0f} s" if age > FROZEN else None

    def unready(self) -> str | None:
        """Return why nothing is delivered now, None when all is well."""
        now, lost, exchanged = self._monotonic(), self._lost_at, self._exchanged_at
        if self._stopping:
            return "the worker is stopping"
        if (frozen := self.frozen()) is not None:
            return frozen
        if lost is not None:
            return f"the database has been away for {now - lost:.0f} s: see the worker's log"
        if exchanged is None:
            return "there was no exchange with the database yet"
        if now - exchanged > LATELY:
            return f"the last exchange with the database was {now - exchanged:.0f} s ago"
        return None

    def notice(self, event: Event) -> None:
        """See Watcher."""
        match event:
            case events.DatabaseLost():
                self._lost_at = self._monotonic()
            case events.DatabaseBack():
                self._lost_at = None
            case events.Stopping():
                self._stopping = True

    def asked(self, trip: RoundTrip) -> None:
        """See Watcher."""
        if trip.operation == "exchange" and trip.error is None:
            self._exchanged_at = self._monotonic()

    def calling(self, claim: Claim) -> None:
        """See Watcher."""

    def called(self, claim: Claim, result: Result | None, began_ns: int, ended_ns: int) -> None:
        """See Watcher."""
