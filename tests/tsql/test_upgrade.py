"""A database of the previous revision, rows in every state, workers asking: upgraded with nothing lost."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from afilsql import deploy
from afilsql.errors import DatabaseError, DatabaseUnavailable, SchemaOutOfDate
from afilsql.outbox import open_outbox, schema
from afilsql.outbox.base import conversation_key
from afilsql.outbox.engine import create_engine
from afilsql.outbox.records import Claim, Result
from tests.patience import PATIENCE

LIVE, EXPIRED = UUID(int=1), UUID(int=2)
LONG = "línea ñ 🙂 " * 1000  # beyond 8,000 bytes, where SQL Server and Babelfish both change their way of storing it

#: What revision 0001 had, by table.
#: Columns that later revisions brought.
NEW = {
    "outbox": {
        *("notification", "taken_at", "unknown_since", "check_at"),
        *("subscription_id", "messageid", "delivery_status", "traceparent"),
    },
    "account": {c.name for c in schema.account.columns} - {"name", "held_at", "held_reason"},
    "chat": {"dated_at", "poll_at", "is_backlog"},
    "chat_message": {"dated_at", "seen_at", "is_new"},
}
OLD = {
    t.name: [c.name for c in t.columns if c.name not in NEW.get(t.name, ())]
    for t in schema.metadata.sorted_tables
    if t.name not in ("notification", "sql_object", "error_code", "setting", "subscription")
}


@pytest.fixture(params=["sqlite", pytest.param("tsql", marks=pytest.mark.tsql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database at revision 0001, filled."""
    if request.param == "sqlite":
        made = f"sqlite:///{(tmp_path / 'outbox.db').as_posix()}"
    else:
        made = request.getfixturevalue("new_tsql_url")
    with deploy.locked(made) as connection:
        deploy._alembic(connection, "upgrade", "0001")
        fill(connection)
    yield made


def rows(now: datetime) -> list[dict[str, Any]]:
    """Requests in every state, in the order in which they were made."""
    found: list[dict[str, Any]] = []

    def add(conversation: str, text: str, status: str, turn: int | None, **fields: Any) -> None:
        parameters = {"platform": "whatsapp", "platformid": "100", "destination": conversation}
        account = fields.get("account", "default")
        row: dict[str, Any] = {
            "request_id": uuid4(),
            "account": account,
            "method": "sendmessage",
            **parameters,
            "message": text,
            "priority": 5,
            "status": status,
            "turn": turn,
            "due_at": now,
            "attempts": 0,
            "max_attempts": 3,
            "lease_id": None,
            "lease_until": None,
            "dedup_key": None,
            "conversation": conversation_key(account, parameters),
            "created_at": now,
            "created_by": "tester",
            "completed_at": None,
            "error_code": None,
            "http_status": None,
        }
        found.append(row | fields)

    hour = timedelta(hours=1)
    add("live", "live 1", "sending", 1, attempts=1, lease_id=LIVE, lease_until=now + hour)
    add("live", "live 2", "queued", 2)
    add("live", "live 3", "queued", 2, dedup_key="order-1")
    add("expired", "expired 1", "sending", 1, attempts=1, lease_id=EXPIRED, lease_until=now - hour)
    add("expired", "expired 2", "queued", 2)
    add("queued", "queued 1", "queued", 1, attempts=1)
    add("queued", LONG, "queued", 2)
    add("queued", "queued 3", "queued", 0)
    add("new", "new 1", "queued", 0)
    add("new", "new 2", "queued", 0)
    add("retry", "retry 1", "scheduled", 1, attempts=2, due_at=now - hour, error_code="HTTP_503", http_status=503)
    add("retry", "retry 2", "queued", 2)
    add("due", "due 1", "scheduled", None, due_at=now - hour)
    add("future", "future 1", "scheduled", None, due_at=now + 24 * hour)
    add("held", "held 1", "queued", 0, account="closed")
    for n, status in enumerate(("sent", "failed", "uncertain", "cancelled")):
        code = {"failed": "NO_CREDITS", "uncertain": "TIMEOUT"}.get(status)
        tries = 0 if status == "cancelled" else 1
        add("done", f"done {n}", status, None, attempts=tries, completed_at=now, error_code=code)
    return found


def fill(connection: sa.Connection) -> None:
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    requests = rows(now)
    connection.execute(sa.insert(schema.outbox), requests)
    tried = [n for n, r in enumerate(requests, 1) if r["attempts"] and r["status"] != "sending"]
    common = {"started_at": now, "duration_ms": 12, "http_status": 200, "error_code": None, "worker": "old"}
    connection.execute(
        sa.insert(schema.attempt), [{"id": i, "attempt": 1, "detail": f"try of {i}", **common} for i in tried]
    )
    connection.execute(
        sa.insert(schema.response), [{"id": i, "received_at": now, "body": f'{{"n": {i}, "é": 1}}'} for i in tried]
    )
    channel = {"account": "default", "platform": "whatsapp", "platformid": "100"}
    connection.execute(sa.insert(schema.chat_channel), [{**channel, "name": "Tienda ñ", "updated_at": now}])
    said = {"message": LONG, "messageid": "m1", "sent": True, "status": "read", "datetime": "2026-01-31 10:11:12"}
    for table in (schema.chat, schema.chat_message):
        connection.execute(sa.insert(table), [{**channel, "destination": "34600000000", **said, "updated_at": now}])
    connection.execute(
        sa.insert(schema.account), [{"name": "closed", "held_at": now, "held_reason": "the password is wrong"}]
    )
    connection.execute(sa.insert(schema.worker), [{"name": "old", "seen_at": now}])
    connection.execute(sa.insert(schema.event_log), [{"logged_at": now, "event": "account_held", "detail": "closed"}])
    if connection.dialect.name == "mssql":  # a procedure that has no file now
        connection.exec_driver_sql("CREATE PROCEDURE afil.hold_account AS RETURN 0")
        applied = [{"name": n, "checksum": "0", "applied_at": now} for n in ("procedures/hold_account", "grants/roles")]
        connection.execute(sa.insert(schema.sql_object), applied)
    connection.execute(sa.update(schema.setting).where(schema.setting.c.name == "max_attempts").values(value="3"))


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of revision 0001, in that revision's columns."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {}
        for table in schema.metadata.sorted_tables:
            if table.name in OLD:
                keys = sa.select(*(table.c[c] for c in OLD[table.name])).order_by(*table.primary_key.columns)
                found[table.name] = [tuple(r) for r in connection.execute(keys)]
        found["setting"] = [
            tuple(r)
            for r in connection.execute(
                sa.select(schema.setting.c.name, schema.setting.c.value).where(schema.setting.c.name == "max_attempts")
            )
        ]
    engine.dispose()
    return found


def exists(url: str, procedure: str) -> bool:
    engine = create_engine(url)
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            found = None
        else:
            found = connection.exec_driver_sql(f"SELECT OBJECT_ID(N'afil.{procedure}')").scalar()
    engine.dispose()
    return found is not None


class Worker(threading.Thread):
    """Asks, sends nothing anywhere, and says of everything that it was sent."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.taken: list[Claim] = []
        self.refused: list[DatabaseError] = []
        self.failed: Exception | None = None
        self.answered = threading.Event()
        self.over = threading.Event()

    def run(self) -> None:
        results: list[Result] = []
        try:
            with open_outbox(self._url) as outbox:
                while not self.over.is_set():
                    try:
                        claims = outbox.exchange("new", results=results, take=2).claims
                    except (SchemaOutOfDate, DatabaseUnavailable) as e:
                        self.refused.append(e)
                        time.sleep(0.05)
                        continue
                    finally:
                        self.answered.set()
                    self.taken += claims
                    results = [Result(c.id, c.lease_id, c.attempt, "sent", datetime.now(UTC)) for c in claims]
                    time.sleep(0.02)
                outbox.exchange("new", results=results)
        except Exception as e:
            self.failed = e

    def texts(self) -> dict[str, list[str]]:
        """What went out, in order, by conversation."""
        found = defaultdict(list)
        for claim in list(self.taken):
            found[claim.parameters["destination"]].append(claim.parameters["message"])
        return dict(found)


def test_nothing_is_lost_on_the_way_up_down_and_up_again_and_workers_run_on(url: str) -> None:
    before = contents(url)
    assert Counter(r[OLD["outbox"].index("status")] for r in before["outbox"]) == {
        "queued": 10, "scheduled": 3, "sending": 2, "sent": 1, "failed": 1, "uncertain": 1, "cancelled": 1
    }  # fmt: skip

    assert deploy.drift(url)
    assert deploy.migrate(url)[0] == "migrated from revision 0001 to 0005"
    assert contents(url) == before
    assert deploy.drift(url) == []
    assert not exists(url, "hold_account")
    deploy.downgrade(url, "0001")
    assert contents(url) == before
    assert deploy.drift(url)

    worker = Worker(url)
    worker.start()
    assert worker.answered.wait(PATIENCE)
    deploy.migrate(url)
    assert deploy.drift(url) == []
    expected = {
        "expired": ["expired 2"],
        "queued": ["queued 1", LONG, "queued 3"],
        "new": ["new 1", "new 2"],
        "retry": ["retry 1", "retry 2"],
        "due": ["due 1"],
    }
    wait_for(worker, expected)

    with open_outbox(url) as outbox:
        # the worker of the previous version comes back with what it was sending
        old = [Result(id, lease, 1, "sent", datetime.now(UTC)) for id, lease in ((1, LIVE), (4, EXPIRED))]
        lost = outbox.exchange("old", results=old).lost
        assert lost == [4]
        assert outbox.release_account("closed")
        wait_for(worker, expected | {"live": ["live 2", "live 3"], "held": ["held 1"]})
        worker.over.set()
        worker.join(PATIENCE)
        assert worker.failed is None
        if not url.startswith("sqlite"):  # SQLite has no procedures that could be missing
            assert worker.refused
        counts = {s: n for s, n in outbox.status().counts.items() if n}
        # sent: 1 before, 12 by the new worker, 1 by the old; uncertain: 1 before, 1 whose lease ran out
        assert counts == {"sent": 14, "scheduled": 1, "failed": 1, "uncertain": 2, "cancelled": 1}
    after = contents(url)
    for name in ("message", "request_id", "dedup_key", "conversation", "created_at"):
        column = OLD["outbox"].index(name)
        assert [r[column] for r in after["outbox"]] == [r[column] for r in before["outbox"]]
    assert after["setting"] == before["setting"] == [("max_attempts", "3")]
    assert set(before["response"]) <= set(after["response"])
    assert set(before["attempt"]) <= set(after["attempt"])


def wait_for(worker: Worker, expected: dict[str, list[str]]) -> None:
    give_up = time.monotonic() + PATIENCE
    while worker.texts() != expected and time.monotonic() < give_up and worker.is_alive():
        time.sleep(0.05)
    assert worker.failed is None, worker.failed
    assert worker.texts() == expected
