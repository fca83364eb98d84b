"""What a worker tells whoever watches it: for logs and the live line.

All events come from the thread that runs `Worker.run`, one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from afilsql.outbox.records import Claim, Result, ResultKind


@dataclass(frozen=True, slots=True)
class Claimed:
    """Rows were taken and their calls are starting."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """One call ended, well or not; its result goes home with the next exchange.

    Attributes:
        kind: What becomes of the row.
        code: The API's error code or ours, None for success.
        detail: One line for a person, None for success.
        duration_ms: Milliseconds the call took.
        look_in: For uncertain: seconds until its conversation is read back, None when that is left to a person.
        poll: A subscription asked.
    """

    id: int
    account: str
    method: str
    attempt: int
    kind: ResultKind
    code: str | None
    detail: str | None
    duration_ms: int
    look_in: float | None = None
    poll: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """The first exchange with the database succeeded: the worker works."""


@dataclass(frozen=True, slots=True)
class DatabaseLost:
    """The database stopped answering; the worker keeps its results and tries again."""

    detail: str


@dataclass(frozen=True, slots=True)
class DatabaseBack:
    """The database answers again.

    Attributes:
        after_seconds: How long it was away.
    """

    after_seconds: float


@dataclass(frozen=True, slots=True)
class AccountHeld:
    """An account was put on hold: its credentials are missing or refused."""

    account: str
    code: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The conversation of an uncertain send was read.

    Attributes:
        kind: What becomes of the row: sent, retry (it is sent again), failed (no try is left), uncertain.
        detail: Why, in one line.
        final: False when it is looked at again.
    """

    id: int
    account: str
    kind: ResultKind
    detail: str | None
    final: bool


@dataclass(frozen=True, slots=True)
class BreakerOpened:
    """Most calls of an account failed: nothing is taken of it for a while, then one request is tried.

    Attributes:
        failures: Of the latest `calls`, those that failed.
        rest_seconds: Until the first is tried.
    """

    account: str
    failures: int
    calls: int
    rest_seconds: float


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """A request of a closed account (held, or its breaker open) went through: its rows are taken again.

    Attributes:
        after_seconds: How long it was closed.
    """

    account: str
    after_seconds: float


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """A row's lease ran out before its call began, or before its list was kept or its result handed in."""

    id: int


@dataclass(frozen=True, slots=True)
class ResultRefused:
    """The database refused one result for good, even without the answer's body; the row's lease will run out."""

    id: int
    detail: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """The worker takes no more rows and finishes what is in flight.

    Attributes:
        in_flight: Calls still running.
    """

    in_flight: int


Event = (
    Ready
    | Claimed
    | Delivered
    | ReadBack
    | DatabaseLost
    | DatabaseBack
    | AccountHeld
    | BreakerOpened
    | BreakerClosed
    | LeaseLost
    | ResultRefused
    | Stopping
)


def ended(claim: Claim, result: Result) -> Event:
    """Return the event of a call that has ended."""
    if claim.check is not None:
        final = result.look_in is None and result.kind != "hold"
        return ReadBack(claim.id, claim.account, result.kind, result.detail, final)
    return Delivered(
        claim.id,
        claim.account,
        claim.method,
        claim.attempt,
        result.kind,
        result.error_code,
        result.detail,
        result.duration_ms,
        result.look_in,
        claim.poll,
    )


def ignore(event: Event) -> None:
    """Do nothing with an event."""
