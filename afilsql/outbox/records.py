"""The records that cross the line between the outbox and its users. Times are timezone-aware UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

Status = Literal["queued", "scheduled", "sending", "sent", "failed", "uncertain", "cancelled"]
STATUSES: tuple[Status, ...] = ("queued", "scheduled", "sending", "sent", "failed", "uncertain", "cancelled")

#: What happens to a send of which nobody can say whether it took effect: read the conversation back to find out, leave
#: it to a person, or send again.
OnUnknown = Literal["reconcile", "hold", "retry"]
ON_UNKNOWN: tuple[OnUnknown, ...] = ("reconcile", "hold", "retry")

#: How a finished try ends. `retry` goes back to waiting until due_at; `release` goes back at once and
#: does not count as a try; `hold` also goes back uncounted and holds the row's account. Reading a conversation back
#: ends in the same words: `sent` it arrived, `retry` it did not, `uncertain` another look or a person.
ResultKind = Literal["sent", "retry", "failed", "uncertain", "release", "hold"]


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller wants done: one call of the chat API.

    Attributes:
        method: One of afilsql.api.methods.METHODS.
        parameters: The API's parameters by name (platform, destination, message, …).
        account: Name of an account in the worker's settings.
        priority: 0 (first) to 9 (last).
        send_at: Not before this time (UTC); None is now.
        dedup_key: A second request with the same account and key is not written; the first's id is returned.
        max_attempts: Tries before the row is failed; None takes the database's setting (8).
        traceparent: W3C trace context of the caller, which the worker's spans join.
    """

    method: str
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    account: str = "default"
    priority: int = 5
    send_at: datetime | None = None
    dedup_key: str | None = None
    max_attempts: int | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """Another send of the same conversation that has been tried, as the outbox knows it.

    Attributes:
        certain: True when it arrived once for sure; False when it may have arrived, or more than once.
        taken_at: When its last try began, on the database's clock (UTC).
        texts: Its message and file URL, as far as it has them, each cut to 4,000 characters.
    """

    id: int
    certain: bool
    taken_at: datetime
    texts: tuple[str, ...]


#: Of the sends of a conversation, this many are told at most.
KNOWN_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Check:
    """What reading back an uncertain send starts from. Times are the database's (UTC).

    Attributes:
        now: The time.
        unknown_since: When the first try began of which nobody can say whether it took effect.
        taken_at: When the last one began.
        known: What else the conversation was sent since 27 hours before, the latest KNOWN_LIMIT.
    """

    now: datetime
    unknown_since: datetime
    taken_at: datetime
    known: Sequence[Known] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A row in flight: leased to one worker, to be called once, or to be read back.

    `attempt` counts from 1. `lease_id` with `attempt` fences the result.

    Attributes:
        probe: The row tries an account that is closed.
        check: Set when the row is not to be called but to be looked for in its conversation.
        poll: A subscription asks; nobody waits for the answer.
        created_at: When it was asked for, on the database's clock (UTC); None where that is not told.
        wanted_at: When it was to be sent: then, or for a first try at its send_at.
        traceparent: W3C trace context of who asked.
    """

    id: int
    request_id: UUID
    account: str
    method: str
    parameters: Mapping[str, str]
    attempt: int
    max_attempts: int
    lease_id: UUID
    probe: bool = False
    check: Check | None = None
    poll: bool = False
    created_at: datetime | None = None
    wanted_at: datetime | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of one account a worker takes.

    Attributes:
        room: Rows it may take now; None as many as of any other.
        rate: Requests a second, of all workers together; None is no limit.
        burst: Requests that may go at once after a pause; None is one second's worth.
        tripped: Open the account's breaker: most calls failed.
    """

    account: str
    room: int | None = None
    rate: float | None = None
    burst: float | None = None
    tripped: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a claim.

    Attributes:
        id, lease_id, attempt: Copied from the claim; a result whose lease was lost changes nothing.
        kind: See ResultKind.
        started_at: When the call began (UTC).
        duration_ms: Milliseconds the call took.
        http_status: Of the answer, None when none came.
        error_code: The API's code or ours, None for success.
        detail: One line for a person, without credentials.
        body: The answer as text, None when there was none.
        retry_in: For `retry`: seconds from now on the database's clock until the next try. After HTTP 429, whatever
            becomes of the row: how long the account rests.
        look_in: For `uncertain`: seconds until its conversation is read back; None leaves it to a person.
        unknown: Nobody can say whether this try took effect.
        healthy: Whether the API and the account work, as far as this call shows; None when it shows nothing.
    """

    id: int
    lease_id: UUID
    attempt: int
    kind: ResultKind
    started_at: datetime
    duration_ms: int = 0
    http_status: int | None = None
    error_code: str | None = None
    detail: str | None = None
    body: str | None = None
    retry_in: float = 0.0
    look_in: float | None = None
    unknown: bool = False
    healthy: bool | None = None


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The answer of one exchange.

    Attributes:
        claims: Rows now leased to this worker, in the order to send them.
        lost: Ids of results that changed nothing because the lease had passed to another.
        waiting: True when rows are still queued or sending anywhere (for `--drain`), scheduled retries and rows to be
            read back included; rows of held accounts and rows with a future send_at do not count.
        next_due_in: Seconds until something comes due (a scheduled row, a row to be read back, an account that rests or
            is to be tried), None when nothing does.
        reopened: (account, seconds it was closed) of accounts that a result handed in now has opened.
    """

    claims: Sequence[Claim] = ()
    lost: Sequence[int] = ()
    waiting: bool = False
    next_due_in: float | None = None
    reopened: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """What listening for new requests has brought.

    Attributes:
        latest: The highest id there is, to listen for those above it.
        new: True when a request above the id asked about is queued.
    """

    latest: int
    new: bool


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, as recorded."""

    attempt: int
    started_at: datetime
    duration_ms: int
    http_status: int | None
    error_code: str | None
    detail: str | None
    worker: str


@dataclass(frozen=True, slots=True)
class Item:
    """One request as it stands.

    Attributes:
        messageid, delivery_status: What the API calls the message and says of it, once it was recognized in its
            conversation; None before.
    """

    id: int
    request_id: UUID
    account: str
    method: str
    parameters: Mapping[str, str]
    priority: int
    status: Status
    due_at: datetime
    attempts: int
    max_attempts: int
    created_at: datetime
    created_by: str
    completed_at: datetime | None
    error_code: str | None
    http_status: int | None
    dedup_key: str | None
    messageid: str | None = None
    delivery_status: str | None = None


@dataclass(frozen=True, slots=True)
class ItemDetail:
    """One request with its tries and the answer as it came."""

    item: Item
    history: Sequence[Attempt]
    answer: str | None


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The queue at a glance.

    Attributes:
        counts: Rows by status; every status is present.
        oldest_waiting_seconds: Age of the oldest row that is due and not finished, None when none is.
        held: (account, reason) of each account that is held or whose breaker is open.
        workers: (name, seconds since its last exchange) of each known worker, newest first.
        accounts: Those that workers have in their settings, by name.
    """

    counts: Mapping[Status, int]
    oldest_waiting_seconds: float | None
    held: Sequence[tuple[str, str]]
    workers: Sequence[tuple[str, float]]
    accounts: Sequence[Account] = ()


@dataclass(frozen=True, slots=True)
class Subscription:
    """A channel, or one chat of it, whose messages are asked for again and again.

    Attributes:
        destination: Of the one chat; None is the whole channel.
        every_seconds: Between two looks.
        unread_only: Ask with getunreadmessages in place of getmessages.
        next_at: When it is asked for next (UTC).
        last_at: When it was last answered (UTC); None before.
        failures: In a row since then.
        error_code: Of the last failure; None when the last look succeeded.
    """

    id: int
    account: str
    platform: str
    platformid: str
    destination: str | None
    every_seconds: int
    unread_only: bool
    next_at: datetime
    last_at: datetime | None
    failures: int
    error_code: str | None
    created_by: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a conversation, sent or received.

    Attributes:
        at: When (UTC): as the API lists it, else when it was first listed, or queued.
        sent: True when the account sent it, False when it received it; None when the API does not say.
        status: The API's word; of a request not recognized in the list yet, the request's status.
        request_id: Id of the request that sent it; None of messages received, or sent by others.
        row_id: Of chat_message, growing as messages are listed; None of a request not recognized there yet.
    """

    at: datetime
    account: str
    sent: bool | None
    message: str | None
    status: str | None
    messageid: str | None
    request_id: int | None
    row_id: int | None


@dataclass(frozen=True, slots=True)
class Account:
    """An account of a worker's settings, without its secrets.

    Attributes:
        platforms: It may use; empty is all.
    """

    name: str
    platforms: tuple[str, ...] = ()
