"""What the operators' page reads and does, beside the worker's protocol: `Browser`.

Two implementations keep it, browse_sqlserver.py (views and operators' procedures only) and browse_sqlite.py; one
contract test holds both to it. None of it reads the whole outbox: what waits and what finished lately is read from
filtered indexes, and a search goes back through the ids a piece at a time, for a second or so. Times are
timezone-aware UTC.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol, Self

from afilsql.outbox.records import Entry, Item, ItemDetail, Status, Subscription

Outcome = Literal["arrived", "send again"]

#: Rows of a state up to which they are found through its index; more are met soon enough going back through the ids.
FEW = 100_000
#: Of failures, and of uncertain requests, this many are counted at most.
COUNTED = 10_000
#: Ids that the first step back looks at, how much longer a further one is, how long at most (for rows may come from a
#: slow disk), and the seconds until the search stops.
_STEP, _GROWTH, _LONGEST, SEARCH_SECONDS = 20_000, 4, 300_000, 1.5
#: An id is given before its row is committed, and clocks are set: times are looked for this much around.
_SLACK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which requests; None is any.

    Attributes:
        text: Part of the destination, the message or the dedup_key, in whatever case; or an id.
        messages: Look for the text in messages too.
        since, until: Bounds of created_at, the second one excluded.
    """

    text: str | None = None
    status: Status | None = None
    account: str | None = None
    method: str | None = None
    platform: str | None = None
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    messages: bool = True

    @property
    def id(self) -> int:
        """The id that the text is; -1, which none is, where it is no number that an id can be."""
        text = self.text or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else -1


@dataclass(frozen=True, slots=True)
class Found:
    """A page of requests, newest first.

    Attributes:
        older: `before` of the next page; None at the end.
        searched: False where the search stopped to answer in time: what it has not looked at begins at `older`.
    """

    items: Sequence[Item]
    older: int | None
    searched: bool = True


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits of one account; `oldest_seconds` is None when nothing is due."""

    account: str
    waiting: int
    scheduled: int
    sending: int
    oldest_seconds: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The queue at a glance.

    Attributes:
        paused: Nothing is taken from the queue.
        depths: By account that has something unfinished.
        uncertain: Requests left to a person, COUNTED at most.
        held: (account, reason) of each that is held or whose breaker is open.
        workers: (name, seconds since its last exchange), newest first.
        subscriptions: How many there are.
        failing: Those whose last look failed.
        codes: (code, how many) of what failed within the last day, of the latest COUNTED; most first.
    """

    paused: bool
    depths: Sequence[Depth]
    uncertain: int
    held: Sequence[tuple[str, str]]
    workers: Sequence[tuple[str, float]]
    subscriptions: int
    failing: Sequence[Subscription]
    codes: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Minute:
    """Requests that ended within the minute that starts at `at`."""

    at: datetime
    sent: int
    failed: int


class Browser(Protocol):
    """Every method is safe to call from any thread.

    Raises (all methods): DatabaseUnavailable, SchemaOutOfDate, DatabaseError.
    """

    def overview(self) -> Overview:
        """The queue at a glance."""

    def finished_since(self, since: datetime) -> list[Minute]:
        """Minutes in which something was sent or failed, oldest first."""

    def find(self, which: Filter, *, before: int | None = None, limit: int = 50) -> Found:
        """Requests with an id below `before`, newest first."""

    def get(self, id: int) -> ItemDetail:
        """Raises RequestNotFound."""

    def conversation(
        self, platform: str, platformid: str, destination: str, *, account: str | None = None, limit: int = 1000
    ) -> list[Entry]:
        """The latest messages of one conversation, oldest first."""

    def account_names(self) -> list[str]:
        """Of accounts that workers have announced or that are held."""

    def requeue(self, ids: Sequence[int]) -> int:
        """Put failed, uncertain or cancelled requests back in the queue; return how many."""

    def cancel(self, ids: Sequence[int]) -> int:
        """Take waiting requests out of the queue; return how many. What is being sent right now is not stopped."""

    def resolve(self, id: int, outcome: Outcome) -> str:
        """Settle an uncertain request; return its status. Raises InvalidParameter, RequestNotFound."""

    def pause(self, account: str | None, reason: str) -> None:
        """Stop taking requests: of one account, or all. Raises InvalidParameter."""

    def resume(self) -> bool:
        """End the pause of everything; False when nothing was paused."""

    def release_account(self, account: str) -> bool:
        """Take an account's requests again; False when it was open."""

    def close(self) -> None:
        """Give up the connections."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def open_browser(url: str) -> Browser:
    """Open the outbox in a database for browsing. Raises ConfigError, DriverMissing."""
    if url.startswith("sqlite"):
        from afilsql.outbox.browse_sqlite import SqliteBrowser

        return SqliteBrowser(url)
    from afilsql.outbox.browse_sqlserver import SqlServerBrowser

    return SqlServerBrowser(url)


def go_back(
    fetch: Callable[[int, int, int], Sequence[Item]],
    *,
    first: int,
    end: int,
    limit: int,
    at_once: bool,
    monotonic: Callable[[], float] = time.monotonic,
) -> Found:
    """Look for `limit` requests from `end` (excluded) down to `first`, in steps until the time is over.

    Steps grow as long as the one before says that the next one ends in time.

    Args:
        fetch: Returns at most so many (third) requests with ids from `first` to `end` (excluded), newest first.
        at_once: All in one step, since an index finds them.
        monotonic: Seconds that never go back.
    """
    found: list[Item] = []
    began = monotonic()
    step = end - first if at_once else _STEP
    while end > first and len(found) <= limit:
        start, before = max(first, end - step), monotonic()
        found += fetch(start, end, limit + 1 - len(found))
        now = monotonic()
        left = began + SEARCH_SECONDS - now
        if left <= 0:
            end = start
            break
        in_time = (end - start) * left / (now - before) if now > before else step * _GROWTH
        end, step = start, max(_STEP, int(min(step * _GROWTH, _LONGEST, in_time)))
    if len(found) > limit:
        return Found(found[:limit], found[limit - 1].id)
    return Found(found, end if end > first else None, searched=end <= first)


def bounds(
    which: Filter, first: int, end: int, row_from: Callable[[int], tuple[int, datetime] | None]
) -> tuple[int, int]:
    """Narrow ids from `first` to `end` (excluded) down to those that requests of the filter's times can have.

    `row_from` returns (id, created_at) of the first request from an id on. Ids grow with created_at, as near as _SLACK.
    """

    def id_at(wanted: datetime) -> int:
        low, high = first, end
        while low < high:
            middle = (low + high) // 2
            row = row_from(middle)
            if row is None or row[1] >= wanted:
                high = middle
            else:
                low = row[0] + 1
        return low

    return (
        first if which.since is None else id_at(which.since - _SLACK),
        end if which.until is None else id_at(which.until + _SLACK),
    )
