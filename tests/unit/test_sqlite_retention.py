"""Retention on the embedded outbox; tests/tsql has the same for SQL Server."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from afilsql.deploy import migrate
from afilsql.errors import RequestNotFound
from afilsql.outbox.records import Request, Result
from afilsql.outbox.sqlite import SqliteOutbox
from afilsql.outbox.sqlite_retention import PURGE_BATCH


def test_requests_older_than_the_setting_go_with_their_tries_and_answers_a_batch_at_a_time(tmp_path: Path) -> None:
    passed = [timedelta()]
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    migrate(url)
    with SqliteOutbox(url, clock=lambda: datetime.now(UTC) + passed[0]) as outbox:
        old = outbox.enqueue_many([Request("getchatchannels") for _ in range(PURGE_BATCH + 1)])
        claims = list(outbox.exchange("w", take=1).claims)
        while claims:  # one conversation: each exchange frees the next
            done = [Result(c.id, c.lease_id, c.attempt, "sent", datetime.now(UTC), body="{}") for c in claims]
            claims = list(outbox.exchange("w", results=done, take=1).claims)
        passed[0] = timedelta(days=10)
        young = outbox.enqueue(Request("getchatchannels"))
        with sqlite3.connect(tmp_path / "outbox.db") as database:
            database.execute("UPDATE setting SET value = '5' WHERE name = 'retention_days_sent'")
        assert outbox.apply_retention()
        assert not outbox.apply_retention()
        assert outbox.get(young).item.status == "queued"
        with pytest.raises(RequestNotFound):
            outbox.get(old[0])
        with sqlite3.connect(tmp_path / "outbox.db") as database:
            left = [
                database.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in ("outbox", "attempt", "response")
            ]
        assert left == [1, 0, 0]
