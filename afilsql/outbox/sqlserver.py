"""The outbox in SQL Server: every change of state is a stored procedure, this module only calls them.

Connections are in autocommit, since each procedure owns its transaction. Reads go through the views.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, Unpack
from uuid import UUID, uuid4

import sqlalchemy as sa

from afilsql.api.methods import ListKind
from afilsql.errors import RequestNotFound
from afilsql.outbox.callers import connection_of
from afilsql.outbox.engine import create_engine, is_driver_error, is_refusal, translated
from afilsql.outbox.lists import Which, asked
from afilsql.outbox.records import (
    Account,
    Attempt,
    Claim,
    Entry,
    Exchanged,
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
from afilsql.outbox.sqlserver_rows import (
    ITEM,
    account_fields,
    account_of,
    check_of,
    claim_of,
    entry_of,
    first_row,
    item_of,
    json_of,
    limit_fields,
    received_fields,
    request_fields,
    result_fields,
    status_of,
    subscription_of,
    utc,
)
from afilsql.outbox.validate import unnumbered, validate, validate_all

if TYPE_CHECKING:
    from afilsql.outbox.callers import CallersConnection

#: On a caller's connection, whichever driver it has.
_SEND = sa.text("EXEC afil.send_messages @messages = :messages").bindparams(
    sa.bindparam("messages", type_=sa.UnicodeText())
)
_ACCOUNTS = "SELECT name, platforms FROM afil.known_accounts ORDER BY name"
_LISTS = {"channels": "chat_channels", "chats": "chats", "messages": "chat_messages"}
#: Answers received at a time: triggers may take long, and a connection must be left for the exchange.
RECEIVING = 4


class SqlServerOutbox:
    """Outbox on SQL Server, Azure SQL Database or Babelfish.

    Args:
        url: `mssql+pyodbc://…`.
        allow_private_urls: Queue files whose URL points to a private place, where the database's setting allows it too.
    """

    def __init__(self, url: str, *, allow_private_urls: bool = False) -> None:
        self._engine = create_engine(url, autocommit=True)
        self._allow_private_urls = allow_private_urls
        self._receiving = threading.BoundedSemaphore(RECEIVING)
        self._unanswered: list[UUID] = []  # leases of exchanges whose answer was lost: their rows were never called

    def enqueue(self, request: Request, *, connection: CallersConnection | None = None) -> int:
        checked = validate(request, allow_private_urls=self._allow_private_urls)
        with unnumbered():
            return self._send([checked], connection)[0]

    def enqueue_many(self, requests: Sequence[Request], *, connection: CallersConnection | None = None) -> list[int]:
        checked = validate_all(tuple(requests), allow_private_urls=self._allow_private_urls)
        return self._send(checked, connection) if checked else []

    def _send(self, requests: Sequence[Request], connection: CallersConnection | None) -> list[int]:
        messages = json_of([request_fields(r) for r in requests])
        if connection is None:
            with self._cursor() as cursor:
                cursor.execute("EXEC afil.send_messages @messages = ?", (messages,))
                return [int(row.id) for row in cursor.fetchall()]
        with translated():
            found = connection_of(connection, "mssql").execute(_SEND, {"messages": messages})
            return [int(row.id) for row in found.all()]

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
        lease, abandoned = uuid4(), list(self._unanswered)
        self._unanswered.append(lease)
        with self._cursor() as cursor:
            cursor.execute(
                "EXEC afil.exchange @worker = ?, @results = ?, @bodies = ?, @take = ?, @renew = ?, "
                "@lease_seconds = ?, @on_unknown = ?, @lease_id = ?, @abandoned = ?, @room = ?, @accounts = ?, "
                "@tripped = ?",
                (
                    worker,
                    json_of([result_fields(n, r) for n, r in enumerate(results)]) if results else None,
                    json_of([r.body for r in results]) if results else None,
                    take,
                    json_of([str(r) for r in renew]) if renew else None,
                    lease_seconds,
                    on_unknown,
                    str(lease),
                    json_of([str(a) for a in abandoned]) if abandoned else None,
                    room,
                    json_of([limit_fields(x) for x in limits]) if limits else None,
                    json_of([x.account for x in limits if x.tripped]) if any(x.tripped for x in limits) else None,
                ),
            )
            summary = first_row(cursor)
            sets: list[list[Any]] = []
            while cursor.nextset():  # an error after the first result set surfaces only here
                sets.append(cursor.fetchall())
        self._unanswered = [u for u in self._unanswered if u not in abandoned and u != lease]
        next_due = None if summary.next_due_ms is None else max(0.0, summary.next_due_ms / 1000)
        taken, checks, known = (*sets, [], [], [])[:3]
        return Exchanged(
            claims=[*(claim_of(row) for row in taken), *(check_of(row, summary.now, known) for row in checks)],
            lost=json.loads(summary.lost) if summary.lost else [],
            waiting=bool(summary.waiting),
            next_due_in=next_due,
            reopened=[(r["account"], float(r["seconds"])) for r in json.loads(summary.reopened or "[]")],
        )

    def receive(self, claim: Claim, kind: ListKind, rows: Sequence[Mapping[str, Any]]) -> bool:
        sql = "EXEC afil.receive @id = ?, @lease_id = ?, @attempt = ?, @list = ?, @rows = ?"
        body = json_of([received_fields(row) for row in rows])
        with self._receiving:
            return bool(self._scalar(sql, claim.id, str(claim.lease_id), claim.attempt, kind, body))

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
        sql = (
            "DECLARE @id BIGINT; EXEC afil.subscribe @platform = ?, @platformid = ?, @destination = ?, "
            "@every_seconds = ?, @account = ?, @unread_only = ?, @id = @id OUTPUT; SELECT @id;"
        )
        return int(self._scalar(sql, platform, platformid, destination, every_seconds, account, int(unread_only)))

    def unsubscribe(
        self, platform: str, platformid: str, destination: str | None = None, *, account: str = "default"
    ) -> bool:
        sql = "EXEC afil.unsubscribe @platform = ?, @platformid = ?, @destination = ?, @account = ?"
        return bool(self._scalar(sql, platform, platformid, destination, account))

    def subscriptions(self) -> list[Subscription]:
        sql = "SELECT * FROM afil.subscriptions ORDER BY account, platform, platformid, destination"
        with self._cursor() as cursor:
            return [subscription_of(row) for row in cursor.execute(sql).fetchall()]

    def conversation(
        self, platform: str, platformid: str, destination: str, *, account: str | None = None, limit: int = 1000
    ) -> list[Entry]:
        where, values = ("WHERE account = ?", (account,)) if account else ("", ())
        sql = f"SELECT TOP ({int(limit)}) * FROM afil.conversation(?, ?, ?) {where} ORDER BY place DESC"
        with self._cursor() as cursor:
            found = cursor.execute(sql, (platform, platformid, destination, *values)).fetchall()
        return [entry_of(row) for row in reversed(found)]

    def release(self, worker: str, claims: Sequence[Claim]) -> int:
        body = [{"id": c.id, "lease_id": str(c.lease_id), "attempt": c.attempt} for c in claims]
        return int(self._scalar("EXEC afil.release @worker = ?, @claims = ?", worker, json_of(body)))

    def get(self, id: int) -> ItemDetail:
        with self._cursor() as cursor:
            row = cursor.execute(f"SELECT {ITEM} FROM afil.all_items WHERE id = ?", (id,)).fetchone()
            if row is None:
                raise RequestNotFound(f"there is no request {id}: `afilsql list` shows those there are")
            history = cursor.execute(
                "SELECT attempt, started_at, duration_ms, http_status, error_code, detail, worker "
                "FROM afil.attempts WHERE id = ? ORDER BY attempt",
                (id,),
            ).fetchall()
            answer = cursor.execute("SELECT body FROM afil.responses WHERE id = ?", (id,)).fetchone()
        tries = [Attempt(a[0], utc(a[1]), a[2], a[3], a[4], a[5], a[6]) for a in history]
        return ItemDetail(item_of(row), tries, answer.body if answer else None)

    def items(self, *, status: Status | None = None, limit: int = 50) -> list[Item]:
        where, values = ("WHERE status = ?", (status,)) if status else ("", ())
        sql = f"SELECT TOP ({int(limit)}) {ITEM} FROM afil.all_items {where} ORDER BY id DESC"
        with self._cursor() as cursor:
            return [item_of(row) for row in cursor.execute(sql, values).fetchall()]

    def rows_of(self, kind: str, *, limit: int = 1000, **which: Unpack[Which]) -> list[dict[str, Any]]:
        a = asked(kind, which)
        # RECOMPILE: the plan for all messages of a channel would read them all to find those after an id.
        sql = f"SELECT TOP ({int(limit)}) * FROM afil.{_LISTS[kind]} {a.where} ORDER BY {a.order} OPTION (RECOMPILE)"
        with self._cursor() as cursor:
            cursor.execute(sql, a.values)
            names = [c[0] for c in cursor.description]
            rows = [dict(zip(names, map(utc, row), strict=True)) for row in cursor.fetchall()]
        return rows[::-1] if a.newest_first else rows

    def requeue(self, ids: Sequence[int]) -> int:
        return int(self._scalar("EXEC afil.requeue @ids = ?", json_of(list(ids))))

    def hold_account(self, account: str, reason: str) -> None:
        with self._cursor() as cursor:
            cursor.execute("EXEC afil.pause @account = ?, @reason = ?", (account, reason))

    def release_account(self, account: str) -> bool:
        return bool(self._scalar("EXEC afil.release_account @account = ?", account))

    def announce(self, accounts: Sequence[Account]) -> None:
        with self._cursor() as cursor:
            cursor.execute("EXEC afil.announce @accounts = ?", (json_of([account_fields(a) for a in accounts]),))

    def known_accounts(self) -> list[Account]:
        with self._cursor() as cursor:
            return [account_of(row) for row in cursor.execute(_ACCOUNTS).fetchall()]

    def forget_account(self, account: str) -> bool:
        try:
            with self._cursor() as cursor:
                cursor.execute("EXEC afil.forget_account @account = ?", (account,))
        except RequestNotFound:
            return False
        return True

    def apply_retention(self) -> bool:
        return bool(self._row("EXEC afil.apply_retention").more)

    def status(self) -> QueueStatus:
        with self._cursor() as cursor:
            found = cursor.execute("SELECT status, items, oldest_due_at FROM afil.item_counts").fetchall()
            now = cursor.execute("SELECT SYSUTCDATETIME()").fetchone()[0]
            held = cursor.execute("SELECT name, held_reason FROM afil.held_accounts ORDER BY name").fetchall()
            workers = cursor.execute("SELECT name, seen_at FROM afil.workers ORDER BY seen_at DESC").fetchall()
            known = cursor.execute(_ACCOUNTS).fetchall()
        return status_of(found, now, held, workers, known)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _row(self, sql: str, *values: object) -> Any:
        """The first row of the first result set; an error after it surfaces only at nextset."""
        with self._cursor() as cursor:
            row = first_row(cursor.execute(sql, values))
            while cursor.nextset():
                pass
            return row

    def _scalar(self, sql: str, *values: object) -> Any:
        return self._row(sql, *values)[0]

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A pyodbc cursor; errors leave as ours, and but for refusals the connection leaves the pool with them."""
        with translated(), self._engine.connect() as connection:
            cursor = connection.connection.cursor()
            try:
                yield cursor
            except Exception as e:
                if is_refusal(e):
                    cursor.close()
                else:
                    connection.invalidate()  # a half-read connection must never go back
                if is_driver_error(e):
                    raise sa.exc.DBAPIError(None, None, e) from None
                raise
            else:
                cursor.close()
