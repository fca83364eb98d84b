"""What a worker does when the API is slow, down or strict: others go on, nobody's tries are burnt, nothing is lost."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from afilsql.api.client import AfilnetClient
from afilsql.delivery.worker import Worker
from afilsql.deploy import migrate
from afilsql.outbox import open_outbox
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from tests.faults.processes import ended, workers
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    migrate(url)
    return url


def fill(outbox: Outbox, count: int, account: str = "default") -> list[int]:
    chat = {"platform": "whatsapp", "platformid": "100"}
    rows = [
        Request("sendmessage", {**chat, "destination": f"{account}{n}", "message": f"{n}"}, account=account)
        for n in range(count)
    ]
    return outbox.enqueue_many(rows)


def test_an_account_at_a_minute_a_call_does_not_hold_up_one_at_ten_milliseconds(database: str) -> None:
    slow, fast = SandboxServer(latency=60), SandboxServer(latency=0.01)
    with slow, fast, open_outbox(database) as outbox:
        fill(outbox, 200, "slow")
        fill(outbox, 400, "fast")
        clients = {
            name: AfilnetClient("demo", "demo", url=api.url, read_timeout=PATIENCE)
            for name, api in (("slow", slow), ("fast", fast))
        }
        worker = Worker(outbox, clients.__getitem__, name="w", concurrency=16, share=12, grace_seconds=0)
        thread = threading.Thread(target=worker.run)
        began = time.monotonic()
        thread.start()
        try:
            while len(fast.received) < 400 and time.monotonic() < began + 60:
                time.sleep(0.02)
            took = time.monotonic() - began
        finally:
            worker.stop()
            thread.join(PATIENCE)
        assert len(fast.received) == 400
        assert took < 60, "before the first slow call has ended"
        assert len(slow.received) <= 12


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def test_an_api_that_is_down_costs_few_tries_and_everything_goes_once_it_is_back(database: str) -> None:
    port = free_port()
    with open_outbox(database) as outbox:
        ids = fill(outbox, 200)
        with workers(1, database, f"http://127.0.0.1:{port}/api/http/") as (process,):
            end = time.monotonic() + PATIENCE
            while not outbox.status().held:
                assert time.monotonic() < end, process.said()[-2000:]
                time.sleep(0.05)
            tried = sum(bool(outbox.get(id).history) for id in ids)
            assert tried <= 30, "the breaker opened after the calls that were under way"
            assert outbox.status().held == [("default", "BREAKER_OPEN: most calls failed")]
            with SandboxServer(port=port) as api:
                ended(process)
                assert len(api.received) == 200
            assert process.events("breaker_opened")
            assert process.events("breaker_closed")
        assert outbox.status().counts["sent"] == 200
        assert max(outbox.get(id).item.attempts for id in ids) <= 3


def test_too_many_requests_slow_all_workers_down_and_fail_nothing(database: str) -> None:
    with SandboxServer(rate_limit=40) as api, open_outbox(database) as outbox:
        ids = fill(outbox, 200)
        with workers(2, database, api.url) as processes:
            for process in processes:
                ended(process)
        assert outbox.status().counts["sent"] == len(api.received) == 200
        refused = sum(a.http_status == 429 for id in ids for a in outbox.get(id).history)
        assert 0 < refused <= 100
        assert max(outbox.get(id).item.attempts for id in ids) < 8


def test_a_rate_in_the_settings_holds_for_two_workers_together(database: str) -> None:
    with SandboxServer() as api, open_outbox(database) as outbox:
        fill(outbox, 120)
        with workers(2, database, api.url, AFILSQL_RATE="30", AFILSQL_BURST="10") as processes:
            for process in processes:
                ended(process)
        assert len(api.received) == 120
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as file:
        taken = [datetime.fromisoformat(at).timestamp() for (at,) in file.execute("SELECT taken_at FROM outbox")]
    taken.sort()  # when they were let go; a loaded machine bunches what arrives
    for first in range(0, 120, 5):
        window = [t for t in taken if taken[first] <= t < taken[first] + 1]
        assert len(window) <= 30 + 10 + 1, "a second's worth and the burst"
    assert taken[-1] - taken[0] >= (120 - 10) / 30 - 0.1
