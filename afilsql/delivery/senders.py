"""The sender threads: each makes one call at a time and reports what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from afilsql.outbox.records import Claim, Result

#: Makes the call of a claim, which must leave before the given monotonic time.
Deliver = Callable[[Claim, float], Result | None]


@dataclass(frozen=True, slots=True)
class Done:
    """What a sender reports.

    Attributes:
        result: What became of the claim; None when its call was never begun, or its lease lost.
        lapsed: The call was not begun because the lease may have run out.
        lost: The lease had passed to another when the call's answer was to be kept.
    """

    claim: Claim
    result: Result | None
    lapsed: bool = False
    lost: bool = False


class SenderPool:
    """Threads that take claims and put what became of them into `inbox`.

    The threads are daemons so that a call which outlives the grace time cannot keep the process from ending.

    Args:
        size: Number of threads, see `resize`; claims beyond it wait for a free one, first come, first served.
        deliver: Makes the call; raises nothing, and returns None when the lease was lost.
        may_begin: False once no further call should start.
        monotonic: Seconds that never go back.
        inbox: Receives one Done per claim.
    """

    def __init__(
        self,
        size: int,
        *,
        deliver: Deliver,
        may_begin: Callable[[], bool],
        monotonic: Callable[[], float],
        inbox: SimpleQueue[Any],
    ) -> None:
        self._deliver = deliver
        self._may_begin = may_begin
        self._monotonic = monotonic
        self._inbox = inbox
        self._jobs: SimpleQueue[tuple[Claim, float] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._size = 0
        self.resize(size)

    def resize(self, size: int) -> None:
        """Have so many threads; those too many end once they are free and what was submitted before has begun."""
        for _ in range(size, self._size):
            self._jobs.put(None)
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for n in range(self._size, size):
            thread = threading.Thread(target=self._send, name=f"sender-{n}", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._size = size

    def submit(self, claim: Claim, send_by: float) -> None:
        """Have the next free sender call this claim, unless the monotonic time `send_by` has passed by then."""
        self._jobs.put((claim, send_by))

    def close(self, timeout: float) -> None:
        """End the threads, waiting at most `timeout` seconds for those that still call."""
        for _ in self._threads:
            self._jobs.put(None)
        end = self._monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - self._monotonic()))

    def _send(self) -> None:
        while (job := self._jobs.get()) is not None:
            claim, send_by = job
            if self._monotonic() > send_by:
                self._inbox.put(Done(claim, None, lapsed=True))
            elif not self._may_begin():
                self._inbox.put(Done(claim, None))
            else:
                result = self._deliver(claim, send_by)
                self._inbox.put(Done(claim, result, lost=result is None))
