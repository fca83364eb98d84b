"""What wakes an idle worker when a request comes in, so that it need not ask often.

Only new requests ring; what comes due otherwise (a retry, an account that is open again) the worker finds when it asks
by itself. Where nothing rings, or not now, it finds new requests so too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from afilsql.outbox.base import Outbox

#: Seconds that the database listens at a time: long, for each time costs a statement.
WAIT = 90.0
#: Seconds until a database that could not listen is asked to again.
AGAIN = 120.0


class Ring:
    """A request came in."""


class Bell:
    """Listens for new requests in a thread of its own while armed, and rings once for that.

    The thread is a daemon and nobody waits for it: it may be in the middle of a statement when the worker ends. It
    tells nobody of a failure; a database that is away is the exchange's to notice.

    Args:
        outbox: Where requests come in.
        ring: Called in the bell's thread.
        again: Seconds until an outbox that failed to listen, or cannot, is asked to again.
    """

    def __init__(self, outbox: Outbox, ring: Callable[[], object], *, again: float = AGAIN) -> None:
        self._outbox = outbox
        self._ring = ring
        self._again = again
        self._armed = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def arm(self, idle: bool) -> None:
        """Ring at the next request if the worker is idle, else not at all: it will ask soon enough."""
        if not idle:
            self._armed.clear()
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="bell", daemon=True)
            self._thread.start()
        self._armed.set()

    def close(self) -> None:
        """Ring no more."""
        self._closed.set()
        self._armed.set()

    def _listen(self) -> None:
        after = 0
        while self._armed.wait() and not self._closed.is_set():
            try:
                heard = self._outbox.listen(after, WAIT)
            except Exception:  # noqa: BLE001 - whatever it is, the worker polls
                heard = None
            if heard is None:
                self._closed.wait(self._again)
                continue
            after = heard.latest
            if heard.new and self._armed.is_set():
                self._armed.clear()
                self._ring()
