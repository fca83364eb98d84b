"""The embedded outbox: the same states and rules in one SQLite file, with no server.

Every write is one BEGIN IMMEDIATE transaction, so processes that share the file take turns, as exchanges
do under the application lock on SQL Server.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, Unpack
from uuid import UUID, uuid4

import sqlalchemy as sa

from afilsql.api.methods import ListKind
from afilsql.errors import RequestNotFound
from afilsql.outbox.callers import connection_of
from afilsql.outbox.engine import create_engine, translated
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
from afilsql.outbox.sqlite_accounts import Accounts
from afilsql.outbox.sqlite_conversation import conversation
from afilsql.outbox.sqlite_enqueue import default_tries, insert, user_name, within
from afilsql.outbox.sqlite_exchange import Exchange
from afilsql.outbox.sqlite_hear import Ear
from afilsql.outbox.sqlite_known import announce, forget, known, refuse_unknown
from afilsql.outbox.sqlite_operate import is_paused
from afilsql.outbox.sqlite_receive import receive
from afilsql.outbox.sqlite_retention import apply_retention
from afilsql.outbox.sqlite_rows import claim_of, detail_of, item_of, list_rows, queue_status, stored
from afilsql.outbox.sqlite_subscription import subscribe, subscriptions, unsubscribe
from afilsql.outbox.sqlite_take import Take
from afilsql.outbox.validate import unnumbered, validate, validate_all, validate_exchange, validate_subscription

if TYPE_CHECKING:
    from afilsql.outbox.callers import CallersConnection

#: Seconds by which the clock may move against the monotonic one between two exchanges without having been set.
CLOCK_STEP = 1.0


def utcnow() -> datetime:
    return datetime.now(UTC)


class SqliteOutbox:
    """Outbox in a SQLite file.

    Args:
        url: `sqlite:///file.db`.
        clock: The time in UTC; leases and due times are read off it.
        monotonic: Seconds that never go back; where the clock differs from it, the clock was set.
        allow_private_urls: Queue files whose URL points to a private place.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], datetime] = utcnow,
        monotonic: Callable[[], float] = time.monotonic,
        allow_private_urls: bool = False,
    ) -> None:
        self._engine = create_engine(url)
        self._clock = clock
        self._monotonic = monotonic
        self._ear = Ear(str(self._engine.url.database), self._cursor)
        self._writing = threading.Lock()  # in line here, threads do not ask the file again and again
        self._origin: float | None = None  # the clock's time at the monotonic zero, when last looked
        self._allow_private_urls = allow_private_urls

    def enqueue(self, request: Request, *, connection: CallersConnection | None = None) -> int:
        checked = validate(request, allow_private_urls=self._allow_private_urls)
        with unnumbered():
            return self._insert([checked], connection)[0]

    def enqueue_many(self, requests: Sequence[Request], *, connection: CallersConnection | None = None) -> list[int]:
        checked = validate_all(tuple(requests), allow_private_urls=self._allow_private_urls)
        return self._insert(checked, connection) if checked else []

    def _insert(self, requests: Sequence[Request], connection: CallersConnection | None) -> list[int]:
        if connection is None:
            with self._write() as cursor:
                return insert(cursor.execute, requests, user=user_name(), now=self._clock())
        with translated(), within(connection_of(connection, "sqlite")) as run:
            return insert(run, requests, user=user_name(), now=self._clock())

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
        validate_exchange(worker, take=take, lease_seconds=lease_seconds, on_unknown=on_unknown, room=room)
        with self._write(unheard=True) as cursor:
            now = self._clock()  # after the wait for the lock, which must not shorten the leases
            exchange = Exchange(cursor, worker, now)
            exchange.heartbeat()
            if self._clock_was_set(now):
                exchange.start_anew(now + timedelta(seconds=lease_seconds))
            exchange.renew(renew, now + timedelta(seconds=lease_seconds))
            lost = exchange.complete(results)
            for limit in limits:
                if limit.tripped:
                    exchange.accounts.trip(limit.account)
            exchange.sweep(on_unknown)
            paused = is_paused(cursor)
            take = 0 if paused else take
            if take:
                exchange.polls.settle()
                exchange.polls.ask()
            claims: list[Claim] = []
            if take:
                until = now + timedelta(seconds=lease_seconds)
                taking = Take(cursor, exchange.accounts, now)
                rows, checks = taking.take(take, uuid4(), until, room, limits)
                for row in rows:
                    try:
                        claims.append(claim_of(row))
                    except (TypeError, ValueError, AttributeError) as e:
                        exchange.refuse(row, f"the row was written by hand and cannot be read: {e}")
                claims += [claim_of(r, (now, taking.known(r))) for r in checks]
            waiting, due = exchange.outlook(paused=paused)
        next_due = None if due is None else max(0.0, (due - now).total_seconds())
        return Exchanged(claims, lost, waiting, next_due, exchange.reopened)

    def _clock_was_set(self, now: datetime) -> bool:
        origin, before = now.timestamp() - self._monotonic(), self._origin
        self._origin = origin
        return before is not None and abs(origin - before) > CLOCK_STEP

    def listen(self, after: int, wait: float) -> Heard:
        return self._ear.listen(after, wait)

    def receive(self, claim: Claim, kind: ListKind, rows: Sequence[Mapping[str, Any]]) -> bool:
        with self._write() as cursor:
            return receive(cursor, claim, kind, rows, self._clock())

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
        validate_subscription(platform, platformid, destination, account=account, every_seconds=every_seconds)
        key, user = (account, platform, platformid, destination or ""), user_name()
        with self._write() as cursor:
            refuse_unknown(cursor.execute, account, platform)
            now = self._clock()
            return subscribe(cursor, key, every_seconds=every_seconds, unread_only=unread_only, user=user, now=now)

    def unsubscribe(
        self, platform: str, platformid: str, destination: str | None = None, *, account: str = "default"
    ) -> bool:
        with self._write() as cursor:
            return unsubscribe(cursor, (account, platform, platformid, destination or ""))

    def subscriptions(self) -> list[Subscription]:
        with self._cursor() as cursor:
            return subscriptions(cursor)

    def conversation(
        self, platform: str, platformid: str, destination: str, *, account: str | None = None, limit: int = 1000
    ) -> list[Entry]:
        with self._cursor() as cursor:
            return conversation(cursor, platform, platformid, destination, account, limit)

    def release(self, worker: str, claims: Sequence[Claim]) -> int:
        with self._write() as cursor:
            cursor.executemany(
                "UPDATE outbox SET status = 'queued', turn = 1, attempts = attempts - 1, lease_id = NULL, "
                "lease_until = NULL WHERE status = 'sending' AND id = ? AND lease_id = ? AND attempts = ?",
                [(c.id, c.lease_id.hex, c.attempt) for c in claims],
            )
            return max(0, cursor.rowcount)

    def get(self, id: int) -> ItemDetail:
        with self._cursor() as cursor:
            found = detail_of(cursor, id)
        if found is None:
            raise RequestNotFound(f"there is no request {id}: `afilsql list` shows those there are")
        return found

    def items(self, *, status: Status | None = None, limit: int = 50) -> list[Item]:
        with self._cursor() as cursor:
            found = cursor.execute(
                "SELECT * FROM outbox WHERE status = COALESCE(?, status) ORDER BY id DESC LIMIT ?", (status, limit)
            )
            return [item_of(row) for row in found]

    def rows_of(self, kind: str, *, limit: int = 1000, **which: Unpack[Which]) -> list[dict[str, Any]]:
        with self._cursor() as cursor:
            return list_rows(cursor, kind, limit, which)

    def requeue(self, ids: Sequence[int]) -> int:
        with self._write() as cursor:
            cursor.executemany(
                "UPDATE outbox SET status = 'queued', turn = 0, due_at = ?, max_attempts = attempts + ?, "
                "completed_at = NULL, error_code = NULL, http_status = NULL, check_at = NULL, lease_id = NULL "
                "WHERE id = ? AND status IN ('failed', 'uncertain', 'cancelled')",
                [(stored(self._clock()), default_tries(cursor.execute), id) for id in dict.fromkeys(ids)],
            )
            return max(0, cursor.rowcount)

    def hold_account(self, account: str, reason: str) -> None:
        with self._write() as cursor:
            Accounts(cursor, "", self._clock()).hold(account, reason)

    def release_account(self, account: str) -> bool:
        with self._write() as cursor:
            return Accounts(cursor, "", self._clock()).release(account)

    def announce(self, accounts: Sequence[Account]) -> None:
        with self._write() as cursor:
            announce(cursor.execute, accounts, self._clock())

    def known_accounts(self) -> list[Account]:
        with self._cursor() as cursor:
            return known(cursor.execute)

    def forget_account(self, account: str) -> bool:
        with self._write() as cursor:
            return forget(cursor.execute, account, user_name(), self._clock())

    def apply_retention(self) -> bool:
        with self._write() as cursor:
            return apply_retention(cursor, self._clock())

    def status(self) -> QueueStatus:
        with self._cursor() as cursor:
            return replace(queue_status(cursor, self._clock()), accounts=known(cursor.execute))

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def _cursor(self) -> Iterator[sqlite3.Cursor]:
        """A cursor whose rows are read by column name; errors leave as ours."""
        with translated(), self._engine.connect() as connection:
            cursor: sqlite3.Cursor = connection.connection.cursor()  # type: ignore[assignment]
            cursor.row_factory = sqlite3.Row
            try:
                with closing(cursor):
                    yield cursor
            except (sqlite3.Error, OverflowError) as e:
                connection.invalidate()  # a connection opened while the file was read-only stays so for ever
                raise sa.exc.DBAPIError(None, None, e) from None

    @contextmanager
    def _write(self, *, unheard: bool = False) -> Iterator[sqlite3.Cursor]:
        with self._writing, self._cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            before = self._ear.look() if unheard else None
            try:
                yield cursor
            except BaseException:
                cursor.connection.rollback()
                raise
            cursor.execute("COMMIT")
            if before:
                self._ear.pass_over(before)
