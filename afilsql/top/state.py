"""What the view shows, read from the database and changed there by a thread of its own, so that keys never wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue

from afilsql.errors import AfilsqlError
from afilsql.outbox.browse import Browser, Filter, Minute, Overview
from afilsql.outbox.records import Item

#: Minutes of which the rates are shown, and failures that are.
MINUTES, FAILURES = 120, 100
#: Seconds the thread gets to end; one that hangs in the database is left behind.
_CLOSE_SECONDS = 1.0

Action = Callable[[Browser], str]


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the queue.

    Attributes:
        at: When (UTC).
        overview: None before the first look that succeeded.
        sent, failed: By minute, oldest first, the last one not over yet.
        failures: The latest, newest first.
        looked_at: When the last look succeeded (UTC); None before the first.
        trouble: Why the database could not be looked at since, None when it was.
        said: What the last action brought.
    """

    at: datetime
    overview: Overview | None = None
    sent: Sequence[int] = ()
    failed: Sequence[int] = ()
    failures: Sequence[Item] = ()
    looked_at: datetime | None = None
    trouble: str | None = None
    said: str | None = None


class Looker:
    """Looks at the database again and again.

    Args:
        browser: The database; the thread's from now on.
        every: Seconds between two looks.
        now: The time (UTC).
    """

    def __init__(
        self, browser: Browser, *, every: float, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._browser = browser
        self._every = every
        self._now = now
        self._minutes: dict[datetime, Minute] = {}
        self._actions: SimpleQueue[Action] = SimpleQueue()
        self._wake = threading.Event()
        self._closing = False
        self.seen = Seen(now())
        self._thread = threading.Thread(target=self._run, name="top", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def do(self, action: Action) -> None:
        """Have something done, and look again."""
        self._actions.put(action)
        self._wake.set()

    def close(self) -> None:
        """End; a thread that hangs in the database is not waited for."""
        self._closing = True
        self._wake.set()
        self._thread.join(_CLOSE_SECONDS)

    def look(self) -> None:
        """Look once. Raises nothing of the database: it is shown."""
        at = self._now()
        try:
            overview = self._browser.overview()
            sent, failed = self._rates(at)
            failures = self._browser.find(Filter(status="failed"), limit=FAILURES).items
        except AfilsqlError as error:
            self.seen = replace(self.seen, at=at, trouble=str(error))
        else:
            self.seen = Seen(at, overview, sent, failed, failures, at, None, self.seen.said)

    def _rates(self, at: datetime) -> tuple[list[int], list[int]]:
        """What ended, by minute. Only the latest minutes are asked for once the others are known."""
        first = at.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)
        since = max(self._minutes, default=first) - timedelta(minutes=1)
        self._minutes |= {minute.at: minute for minute in self._browser.finished_since(max(first, since))}
        self._minutes = {minute: found for minute, found in self._minutes.items() if minute >= first}
        found = [self._minutes.get(first + timedelta(minutes=n)) for n in range(MINUTES)]
        return [m.sent if m else 0 for m in found], [m.failed if m else 0 for m in found]

    def _run(self) -> None:
        while not self._closing:
            self._wake.clear()
            while not self._actions.empty():
                action = self._actions.get()
                try:
                    said = action(self._browser)
                except AfilsqlError as error:
                    said = str(error)
                self.seen = replace(self.seen, said=said)
            self.look()
            self._wake.wait(self._every)
        self._browser.close()
