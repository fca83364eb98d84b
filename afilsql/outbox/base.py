"""The outbox as its users see it: the protocol; records.py has what crosses the line.

Two implementations keep it, sqlserver.py (calls the stored procedures) and sqlite.py (the embedded
default); one suite, tests/contract, holds both to it. Times are timezone-aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, Unpack
from uuid import UUID

from afilsql.api.methods import ListKind
from afilsql.outbox.lists import Which
from afilsql.outbox.records import (
    Account,
    Claim,
    Entry,
    Exchanged,
    Heard,
    Item,
    ItemDetail,
    Limit,
    OnUnknown,
    QueueStatus,
    Request,
    Result,
    Status,
    Subscription,
)

if TYPE_CHECKING:
    from afilsql.outbox.callers import CallersConnection


#: Of more new requests at once `Outbox.listen` looks at the newest.
LISTEN_ROWS = 1000


class Outbox(Protocol):
    """The database side. Every method is one transaction and safe to call from any thread.

    Raises (all methods): DatabaseUnavailable, SchemaOutOfDate, DatabaseError.
    """

    def enqueue(self, request: Request, *, connection: CallersConnection | None = None) -> int:
        """Write one request; return its id.

        With `connection`, a SQLAlchemy Connection or Session of the same database, it is written in that transaction:
        it commits or is rolled back with it, and a refusal leaves it as it was.

        Raises InvalidParameter, QuotaExceeded.
        """

    def enqueue_many(self, requests: Sequence[Request], *, connection: CallersConnection | None = None) -> list[int]:
        """Write all requests or none; return their ids in order.

        Raises QuotaExceeded, and InvalidParameter naming the first bad one.
        """

    def exchange(
        self,
        worker: str,
        *,
        results: Sequence[Result] = (),
        take: int = 0,
        renew: Sequence[UUID] = (),
        lease_seconds: int = 120,
        on_unknown: OnUnknown = "hold",
        room: int | None = None,
        limits: Sequence[Limit] = (),
    ) -> Exchanged:
        """Hand in results, renew the leases of rows in flight, take up to `take` (0-500) new rows: one transaction.

        Of one account at most `room` rows are taken, or what `limits` says of it; accounts take turns.

        Handing in the same results twice changes nothing the second time, so an exchange whose answer was
        lost can be repeated; its first set of claims then waits for the lease to run out.

        A lease that ran out while sending leaves the outcome unknown. A send becomes `uncertain`: with on_unknown
        "hold" left to a person, with "reconcile" to be read back at once; with "retry" it is queued again, and
        `uncertain` once max_attempts is reached. A get-method is queued again, and `failed` once max_attempts is
        reached. The row's code is LEASE_EXPIRED.

        An account held for refused credentials, or whose breaker was opened, is tried with one row when it is due: a
        healthy result opens it. After HTTP 429 an account rests as long as the result's retry_in says, and its rate is
        cut to 70 % of what went through, growing again by 5 % a second.
        """

    def listen(self, after: int, wait: float) -> Heard | None:
        """Return once a request whose id is above `after` is queued, and after `wait` seconds at the latest.

        Not a transaction: nothing is locked meanwhile, and looking costs the same with any number of rows; of those
        above `after` the newest LISTEN_ROWS are looked at. A request that commits after one with a higher id may go
        unheard. None where the database cannot wait (Babelfish has no WAITFOR), or this login may not.
        """

    def receive(self, claim: Claim, kind: ListKind, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Keep the list that a call brought, before its result is handed in; False when the lease was lost.

        A transaction of its own, outside the exchange: triggers on chat_message belong to others, and one that is slow
        or fails holds up nothing but this answer. Rows are dicts with the API's field names, `issent` already `sent`,
        and `dated_at`, the time (UTC) or None. Messages are kept once by (account, platform, platformid, messageid), in
        the order of their times. A row that is there and says the same is left alone.

        Sends that are recognized among the messages beyond doubt get their `messageid` and `delivery_status`: the only
        request with the text in its conversation around that time, and the only message.

        Raises also DatabaseError when a trigger refuses the rows; nothing is kept then.
        """

    def subscribe(
        self,
        platform: str,
        platformid: str,
        destination: str | None = None,
        *,
        account: str = "default",
        every_seconds: int = 30,
        unread_only: bool = False,
    ) -> int:
        """Have a channel, or one chat of it, asked for every 5 to 86400 seconds; return the subscription's id.

        Of a channel the chats are listed, and then the messages of those that changed. Doing it again changes the
        interval. Requests of subscriptions have the lowest priority, keep to `inbound_per_minute` for each account, and
        one at a time is under way for each chat. Raises InvalidParameter.
        """

    def unsubscribe(
        self, platform: str, platformid: str, destination: str | None = None, *, account: str = "default"
    ) -> bool:
        """End a subscription; what was received stays. False when there is none."""

    def subscriptions(self) -> list[Subscription]:
        """By account, platform, channel and destination."""

    def conversation(
        self, platform: str, platformid: str, destination: str, *, account: str | None = None, limit: int = 1000
    ) -> list[Entry]:
        """The latest messages sent and received, oldest first: as listed by the API, and requests not listed yet."""

    def announce(self, accounts: Sequence[Account]) -> None:
        """Make accounts of a worker's settings known. Once any is, requests of an unknown one are refused."""

    def known_accounts(self) -> list[Account]:
        """Those that were announced and not forgotten, by name; none before a worker has started."""

    def forget_account(self, account: str) -> bool:
        """Refuse requests of an account from now on; False when it was not known."""

    def release(self, worker: str, claims: Sequence[Claim]) -> int:
        """Give back rows that were not called; return how many were still ours. The try is not counted."""

    def get(self, id: int) -> ItemDetail:
        """Raises RequestNotFound."""

    def items(self, *, status: Status | None = None, limit: int = 50) -> list[Item]:
        """Newest first."""

    def rows_of(self, kind: str, *, limit: int = 1000, **which: Unpack[Which]) -> list[dict[str, Any]]:
        """Rows of chat_channel (`channels`), chat (`chats`) or chat_message (`messages`), in the order of their keys.

        At most `limit` of them; `which` narrows them down. Raises InvalidParameter.
        """

    def requeue(self, ids: Sequence[int]) -> int:
        """Put failed, uncertain or cancelled rows back in the queue with a fresh set of tries; return how many."""

    def hold_account(self, account: str, reason: str) -> None:
        """Stop taking rows of this account."""

    def release_account(self, account: str) -> bool:
        """Take its rows again; False when it was open."""

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
