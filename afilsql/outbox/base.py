"""The outbox as its users see it: the records that cross the line, and the protocol.

Two implementations keep it, sqlserver.py (calls the stored procedures) and sqlite.py (the embedded
default); one suite, tests/contract, holds both to it. Times are timezone-aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, Self
from uuid import UUID

Status = Literal["queued", "scheduled", "sending", "sent", "failed", "uncertain", "cancelled"]
STATUSES: tuple[Status, ...] = ("queued", "scheduled", "sending", "sent", "failed", "uncertain", "cancelled")

#: What happens to a send of which nobody can say whether it took effect.
OnUnknown = Literal["hold", "retry"]

#: How a finished try ends. `retry` goes back to waiting until due_at; `release` goes back at once and
#: does not count as a try; `hold` also goes back uncounted and holds the row's account.
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
    """

    method: str
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    account: str = "default"
    priority: int = 5
    send_at: datetime | None = None
    dedup_key: str | None = None
    max_attempts: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A row in flight: leased to one worker, to be called once.

    `attempt` counts from 1. `lease_id` with `attempt` fences the result.
    """

    id: int
    request_id: UUID
    account: str
    method: str
    parameters: Mapping[str, str]
    attempt: int
    max_attempts: int
    lease_id: UUID


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
        retry_in: For `retry`: seconds from now on the database's clock until the next try.
        rows: The answer's list for get-methods: dicts with the API's field names, `issent` already `sent`.
        kind_of_rows: channels, chats or messages; None when the answer holds no list.
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
    rows: Sequence[Mapping[str, Any]] = ()
    kind_of_rows: str | None = None


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The answer of one exchange.

    Attributes:
        claims: Rows now leased to this worker, in the order to send them.
        lost: Ids of results that changed nothing because the lease had passed to another.
        waiting: True when rows are still queued or sending anywhere (for `--drain`), scheduled retries included;
            rows of held accounts and rows with a future send_at do not count.
        next_due_in: Seconds until the next scheduled row is due, None when none is.
    """

    claims: Sequence[Claim] = ()
    lost: Sequence[int] = ()
    waiting: bool = False
    next_due_in: float | None = None


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
    """One request as it stands."""

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
        held: (account, reason) of each held account.
        workers: (name, seconds since its last exchange) of each known worker, newest first.
    """

    counts: Mapping[Status, int]
    oldest_waiting_seconds: float | None
    held: Sequence[tuple[str, str]]
    workers: Sequence[tuple[str, float]]


class Outbox(Protocol):
    """The database side. Every method is one transaction and safe to call from any thread.

    Raises (all methods): DatabaseUnavailable, SchemaOutOfDate, DatabaseError.
    """

    def enqueue(self, request: Request) -> int:
        """Write one request; return its id. Raises InvalidParameter."""

    def enqueue_many(self, requests: Sequence[Request]) -> list[int]:
        """Write all requests or none; return their ids in order. Raises InvalidParameter naming the first bad one."""

    def exchange(
        self,
        worker: str,
        *,
        results: Sequence[Result] = (),
        take: int = 0,
        renew: Sequence[UUID] = (),
        lease_seconds: int = 120,
        on_unknown: OnUnknown = "hold",
    ) -> Exchanged:
        """Hand in results, renew the leases of rows in flight, take up to `take` (0-500) new rows: one transaction.

        Handing in the same results twice changes nothing the second time, so an exchange whose answer was
        lost can be repeated; its first set of claims then waits for the lease to run out.

        A lease that ran out while sending leaves the outcome unknown. A send becomes `uncertain` with on_unknown
        "hold"; with "retry" it is queued again, and `uncertain` once max_attempts is reached. A get-method is queued
        again, and `failed` once max_attempts is reached. The row's code is LEASE_EXPIRED.
        """

    def release(self, worker: str, claims: Sequence[Claim]) -> int:
        """Give back rows that were not called; return how many were still ours. The try is not counted."""

    def get(self, id: int) -> ItemDetail:
        """Raises RequestNotFound."""

    def items(self, *, status: Status | None = None, limit: int = 50) -> list[Item]:
        """Newest first."""

    def rows_of(self, kind: str, *, account: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """Rows of chat_channel (`channels`), chat (`chats`) or chat_message (`messages`)."""

    def requeue(self, ids: Sequence[int]) -> int:
        """Put failed, uncertain or cancelled rows back in the queue with a fresh set of tries; return how many."""

    def hold_account(self, account: str, reason: str) -> None:
        """Stop taking rows of this account."""

    def release_account(self, account: str) -> bool:
        """Take its rows again; False when it was not held."""

    def apply_retention(self) -> bool:
        """Purge a batch of what the retention settings no longer keep; return True when another would find more."""

    def status(self) -> QueueStatus:
        """Counts, oldest age, held accounts, workers."""

    def close(self) -> None:
        """Give up the connections."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def conversation_key(account: str, parameters: Mapping[str, str | None]) -> str:
    """The key under which rows are ordered: account, platform, platformid and destination.

    Parts are joined by U+001F, which no part may sensibly hold. Get-methods without a destination
    share one key per channel.
    """
    return "\x1f".join((account, *(parameters.get(p) or "" for p in ("platform", "platformid", "destination"))))
