"""Subscriptions of the embedded outbox when its machine's clock is set; SQL Server has its own clock."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from afilsql.deploy import migrate
from afilsql.outbox.records import Result
from afilsql.outbox.sqlite import SqliteOutbox

ROW = {"platform": "whatsapp", "platformid": "100", "destination": "1", "message": "hi", "messageid": "m"}


@pytest.mark.parametrize("jump", [timedelta(days=-3650), timedelta(hours=-1), timedelta(hours=1)], ids=str)
def test_a_clock_that_was_set_puts_off_no_subscription_and_no_chat(tmp_path: Path, jump: timedelta) -> None:
    now = [datetime.now(UTC)]
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    migrate(url)
    with SqliteOutbox(url, clock=lambda: now[0], monotonic=lambda: 0.0) as outbox:
        outbox.subscribe("whatsapp", "100", every_seconds=86400)
        with sqlite3.connect(tmp_path / "outbox.db") as database:
            database.execute("UPDATE setting SET value = '1' WHERE name = 'inbound_per_minute'")
        (claim,) = outbox.exchange("w", take=5).claims
        outbox.receive(claim, "chats", [ROW])
        outbox.exchange("w", results=[Result(claim.id, claim.lease_id, claim.attempt, "sent", now[0])])
        assert list(outbox.exchange("w", take=5).claims) == [], "the budget is used up"
        now[0] += jump
        assert list(outbox.exchange("w", take=5).claims) == [], "and stays so"
        assert {s.next_at for s in outbox.subscriptions()} == {now[0]}
        (chat,) = outbox.rows_of("chats")
        assert chat["poll_at"] == now[0]
        outbox.unsubscribe("whatsapp", "100")
        outbox.subscribe("whatsapp", "100", "1")
        with sqlite3.connect(tmp_path / "outbox.db") as database:
            database.execute("UPDATE setting SET value = '6000' WHERE name = 'inbound_per_minute'")
            database.execute("UPDATE account SET poll_tokens = 5")
        assert [c.method for c in outbox.exchange("w", take=5).claims] == ["getmessages"]
