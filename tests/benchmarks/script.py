"""What a DBA would write without afilsql: short Python, one row at a time, on the same tables.

`send` is the loop that sends: SELECT the first waiting row, requests.post, UPDATE it, commit. `exchange` is the work of
afil.exchange without its procedures and without HTTP: SELECT the first waiting row, UPDATE it to `sending`, commit;
then UPDATE it to `sent`, INSERT its try, INSERT its answer, commit. Both keep one connection and take the lowest id
first, which one process alone may do; neither leases, retries, nor asks whether a conversation waits.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import requests
import sqlalchemy as sa

from afilsql.outbox.engine import create_engine

_ANSWER = '{"status": "SUCCESS", "result": {}}'
_FIRST = {
    "sqlite": "SELECT id, platform, platformid, destination, message FROM outbox "
    "WHERE status = 'queued' AND account = 'default' AND turn = 0 ORDER BY priority, id LIMIT 1",
    "mssql": "SELECT TOP (1) id, platform, platformid, destination, message FROM afil.outbox "
    "WHERE status = 'queued' AND account = N'default' AND turn = 0 ORDER BY priority, id",
}


class Script:
    """A connection, and the loop on it.

    Args:
        cursor: Of the driver, outside autocommit.
        kind: sqlite or mssql.
    """

    def __init__(self, cursor: Any, kind: str) -> None:
        self._cursor = cursor
        self._connection = cursor.connection
        self._first = _FIRST[kind]
        self._schema = "" if kind == "sqlite" else "afil."
        self._begin = "BEGIN IMMEDIATE" if kind == "sqlite" else None

    def send(self, api_url: str, seconds: float) -> float:
        """Send for so long; return the messages a second."""
        sent, began = 0, time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            id, platform, platformid, destination, message = self._next()
            fields = {
                "class": "chat",
                "method": "sendmessage",
                "user": "demo",
                "password": "demo",
                "platform": platform,
                "platformid": platformid,
                "destination": destination,
                "message": message,
            }
            answer = requests.post(api_url, data=fields, timeout=60)
            if answer.json()["status"] != "SUCCESS":
                raise RuntimeError(f"not accepted: {answer.text[:200]}")
            self._finish(id)
            self._commit()
            sent += 1
        return sent / passed

    def exchange(self, rows: int) -> float:
        """Take and finish so many rows; return the rows a second."""
        began = time.monotonic()
        for _ in range(rows):
            id = self._next()[0]
            lease, now = uuid4(), _now()
            self._execute(
                f"UPDATE {self._schema}outbox SET status = 'sending', turn = 1, attempts = 1, lease_id = ?, "
                "lease_until = ?, taken_at = ? WHERE id = ?",
                (lease.hex if not self._schema else str(lease), now, now, id),
            )
            self._commit()
            self._finish(id)
            self._execute(
                f"INSERT INTO {self._schema}attempt (id, attempt, started_at, duration_ms, http_status, worker) "
                "VALUES (?, 1, ?, 5, 200, 'script')",
                (id, now),
            )
            self._execute(
                f"INSERT INTO {self._schema}response (id, received_at, body) VALUES (?, ?, ?)", (id, now, _ANSWER)
            )
            self._commit()
        return rows / (time.monotonic() - began)

    def _next(self) -> tuple[Any, ...]:
        if self._begin:
            self._cursor.execute(self._begin)
        row = self._cursor.execute(self._first).fetchone()
        if row is None:
            raise RuntimeError("the queue ran empty: write more rows")
        return tuple(row)

    def _finish(self, id: int) -> None:
        if self._begin and not self._connection.in_transaction:
            self._cursor.execute(self._begin)
        self._execute(
            f"UPDATE {self._schema}outbox SET status = 'sent', turn = NULL, completed_at = ?, http_status = 200, "
            "lease_id = NULL, lease_until = NULL WHERE id = ?",
            (_now(), id),
        )

    def _execute(self, sql: str, values: tuple[object, ...]) -> None:
        self._cursor.execute(sql, values)

    def _commit(self) -> None:
        self._connection.commit()


@contextmanager
def script(url: str) -> Iterator[Script]:
    """Yield one that is connected to an outbox, as afilsql connects."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection, closing(connection.connection.cursor()) as cursor:
            yield Script(cursor, sa.make_url(url).get_backend_name())
    finally:
        engine.dispose()


@contextmanager
def plain_script(url: str) -> Iterator[Script]:
    """Yield one on an embedded outbox as Python's sqlite3 connects: each commit waits for the disk."""
    with closing(sqlite3.connect(str(sa.make_url(url).database), isolation_level=None)) as connection:
        yield Script(connection.cursor(), "sqlite")


def _now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
