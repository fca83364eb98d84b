"""Where a worker can be watched: its events, its round trips to the database, its calls of the API.

What watches is told afterwards, in the thread that did it, and must return at once. Should it raise, nothing of the
delivery is lost for that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from afilsql.api.methods import ListKind
from afilsql.delivery.events import Event
from afilsql.delivery.senders import Deliver
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import Claim, Exchanged, Result

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One call of the outbox, over.

    Attributes:
        operation: exchange, receive or retention.
        began_ns, ended_ns: Nanoseconds since 1970.
        error: Class of the error it ended with, None when it succeeded.
        handed_in, taken: Of an exchange: results and rows.
        claim, list, rows: Of a list that was kept: whose answer it is, its kind, its length.
    """

    operation: str
    began_ns: int
    ended_ns: int
    error: str | None = None
    handed_in: int = 0
    taken: int = 0
    claim: Claim | None = None
    list: ListKind | None = None
    rows: int = 0

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(0, self.ended_ns - self.began_ns) / 1e9


class Watcher(Protocol):
    """Told what a worker does."""

    def notice(self, event: Event) -> None:
        """Something happened; told in the worker's thread."""

    def asked(self, trip: RoundTrip) -> None:
        """The database was asked; told in the worker's thread, of a list in a sender's."""

    def calling(self, claim: Claim) -> None:
        """A sender begins with a claim; told in its thread."""

    def called(self, claim: Claim, result: Result | None, began_ns: int, ended_ns: int) -> None:
        """The sender is done with it; no result means that its lease was lost. Told in its thread."""


class Watchers:
    """Many watchers as one, none of which can hurt the worker.

    Args:
        watchers: In the order in which they are told.
        nanoseconds: The time now, since 1970.
    """

    def __init__(self, watchers: Sequence[Watcher], *, nanoseconds: Callable[[], int] = time.time_ns) -> None:
        self._watchers = tuple(watchers)
        self._nanoseconds = nanoseconds

    def notice(self, event: Event) -> None:
        """Tell of an event."""
        for watcher in self._watchers:
            with suppress(Exception):
                watcher.notice(event)

    def outbox(self, outbox: Outbox) -> Outbox:
        """Return an outbox that does the same and is watched."""
        return cast(Outbox, _WatchedOutbox(outbox, self)) if self._watchers else outbox

    def deliver(self, deliver: Deliver) -> Deliver:
        """Return what delivers claims the same way and is watched."""
        if not self._watchers:
            return deliver

        def watched(claim: Claim, send_by: float) -> Result | None:
            for watcher in self._watchers:
                with suppress(Exception):
                    watcher.calling(claim)
            began = self._nanoseconds()
            result = deliver(claim, send_by)
            ended = self._nanoseconds()
            for watcher in self._watchers:
                with suppress(Exception):
                    watcher.called(claim, result, began, ended)
            return result

        return watched

    def ask(self, operation: str, ask: Callable[[], T], about: Callable[[T | None], dict[str, Any]]) -> T:
        """Ask the database and tell how it went; `about` gives what else there is to tell of the answer, if any."""
        began, error, answer = self._nanoseconds(), None, None
        try:
            answer = ask()
        except Exception as e:
            error = type(e).__name__
            raise
        finally:
            trip = RoundTrip(operation, began, self._nanoseconds(), error, **about(answer))
            for watcher in self._watchers:
                with suppress(Exception):
                    watcher.asked(trip)
        return answer


class _WatchedOutbox:
    """The outbox as a worker uses it; what is not watched is passed on."""

    def __init__(self, outbox: Outbox, watchers: Watchers) -> None:
        self._outbox = outbox
        self._watchers = watchers

    def exchange(self, worker: str, **how: Any) -> Exchanged:
        def about(answer: Exchanged | None) -> dict[str, Any]:
            return {"handed_in": len(how.get("results", ())), "taken": len(answer.claims) if answer else 0}

        return self._watchers.ask("exchange", lambda: self._outbox.exchange(worker, **how), about)

    def receive(self, claim: Claim, kind: ListKind, rows: Sequence[Mapping[str, Any]]) -> bool:
        told: dict[str, Any] = {"claim": claim, "list": kind, "rows": len(rows)}
        return self._watchers.ask("receive", lambda: self._outbox.receive(claim, kind, rows), lambda _: told)

    def apply_retention(self) -> bool:
        return self._watchers.ask("retention", self._outbox.apply_retention, lambda _: {})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outbox, name)
