"""Requests enter the embedded database: the twin of sql/procedures/send_messages.sql."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from afilsql.errors import InvalidParameter
from afilsql.outbox.base import conversation_key
from afilsql.outbox.records import Request
from afilsql.outbox.sqlite_known import Run, known
from afilsql.outbox.sqlite_rows import PARAMETERS, stored
from afilsql.outbox.validate import account_fault


def insert(run: Run, requests: Sequence[Request], *, user: str, now: datetime) -> list[int]:
    """Write requests that `validate` has passed; return their ids in order.

    Raises:
        InvalidParameter: No worker knows the account of one, or it may not use the platform; nothing was written.
    """
    _refuse_unknown(run, requests)
    ids, max_attempts = [], default_tries(run)
    for r in requests:
        if r.dedup_key is not None:
            key = (r.account, r.dedup_key)
            found = run("SELECT id FROM outbox WHERE account = ? AND dedup_key = ?", key).fetchone()
            if found:
                ids.append(int(found[0]))
                continue
        later = r.send_at is not None and r.send_at > now
        written = run(
            "INSERT INTO outbox (request_id, account, method, platform, platformid, destination, message, "
            "type, fileurl, thumburl, priority, status, turn, due_at, attempts, max_attempts, dedup_key, "
            "conversation, created_at, created_by, traceparent) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,0,?,?,?,?,?,?)",
            (
                uuid4().hex,
                r.account,
                r.method,
                *(r.parameters.get(p) for p in PARAMETERS),
                r.priority,
                "scheduled" if later else "queued",
                None if later else 0,
                stored(r.send_at if later and r.send_at else now),
                r.max_attempts or max_attempts,
                r.dedup_key,
                conversation_key(r.account, r.parameters),
                stored(now),
                user,
                r.traceparent,
            ),
        )
        ids.append(int(written.lastrowid))
    return ids


def default_tries(run: Run) -> int:
    """Return the setting max_attempts."""
    row = run("SELECT value FROM setting WHERE name = 'max_attempts'").fetchone()
    return int(row[0]) if row else 8


@contextmanager
def within(connection: sa.Connection) -> Iterator[Run]:
    """Yield what runs statements in a caller's transaction; after an error all that they wrote is taken back.

    sqlite3 by itself begins a transaction at the first INSERT only: what was looked up before could have changed by
    then, and the end of a savepoint outside any transaction would commit. A connection in autocommit is left so.
    """

    def run(sql: str, values: tuple[object, ...] = ()) -> Any:
        return connection.exec_driver_sql(sql, values)

    raw: Any = connection.connection.driver_connection
    autocommit = raw.isolation_level is None or getattr(raw, "autocommit", None) is True
    if not raw.in_transaction and not autocommit:
        run("BEGIN IMMEDIATE")
    run("SAVEPOINT afilsql")
    try:
        yield run
    except BaseException:
        with suppress(sa.exc.DBAPIError):  # a full disk and the like have ended the whole transaction already
            run("ROLLBACK TO afilsql")
            run("RELEASE afilsql")
        raise
    run("RELEASE afilsql")


def _refuse_unknown(run: Run, requests: Sequence[Request]) -> None:
    accounts, passed = known(run), set[tuple[str, str | None]]()
    for n, request in enumerate(requests, start=1):
        pair = (request.account, request.parameters.get("platform"))
        if pair not in passed and (why := account_fault(accounts, *pair)):
            raise InvalidParameter(f"request {n}: {why}")
        passed.add(pair)


def user_name() -> str:
    """Return the name under which this process runs."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
