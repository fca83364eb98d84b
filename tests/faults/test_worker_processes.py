"""Real worker processes against the simulated API and an outbox in a file: drained, stopped, killed."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from afilsql.deploy import migrate
from afilsql.outbox import open_outbox
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from tests.faults.processes import WorkerProcess, ended, workers
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")

CONVERSATIONS = 30


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    migrate(url)
    return url


def fill(outbox: Outbox, rows: int) -> None:
    """Write rows 0, 1, 2, … spread over the conversations in turn."""
    outbox.enqueue_many([request(n) for n in range(rows)])


def request(number: int) -> Request:
    destination = f"3460000{number % CONVERSATIONS:04}"
    chat = {"platform": "whatsapp", "platformid": "100", "destination": destination}
    return Request("sendmessage", {**chat, "message": f"{destination}/{number}"})


def wait_for(condition: Callable[[], object], process: WorkerProcess, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the worker ended early"
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.005)


def messages(received: Sequence[Any]) -> list[str]:
    return [call["params"]["message"] for call in received]


def test_two_workers_deliver_every_request_once_and_each_conversation_in_order(database: str) -> None:
    with SandboxServer() as api, open_outbox(database) as outbox:
        fill(outbox, 300)
        with workers(2, database, api.url) as processes:
            for process in processes:
                ended(process)
        arrived = messages(api.received)
        assert outbox.status().counts["sent"] == 300
    assert set(Counter(arrived).values()) == {1}
    assert len(arrived) == 300
    conversations: dict[str, list[int]] = defaultdict(list)
    for message in arrived:
        destination, number = message.split("/")
        conversations[destination].append(int(number))
    assert len(conversations) == CONVERSATIONS
    assert all(numbers == sorted(numbers) for numbers in conversations.values())


def test_a_terminated_worker_leaves_nothing_sending_and_the_next_one_finishes(database: str) -> None:
    with SandboxServer(latency=0.05) as api, open_outbox(database) as outbox:
        fill(outbox, 120)
        with workers(1, database, api.url) as (process,):
            wait_for(lambda: len(api.received) >= 15, process)
            process.send_signal(signal.SIGTERM)
            ended(process)
        counts = outbox.status().counts
        assert counts["sending"] == counts["uncertain"] == counts["failed"] == 0
        assert 0 < counts["sent"] < 120
        assert counts["sent"] == len(api.received)
        with workers(1, database, api.url) as (process,):
            ended(process)
        assert outbox.status().counts["sent"] == 120
        assert set(Counter(messages(api.received)).values()) == {1}


def test_a_killed_worker_loses_nothing_and_sends_nothing_twice(database: str) -> None:
    short_lease = {"AFILSQL_LEASE_SECONDS": "5", "AFILSQL_ON_UNKNOWN": "hold"}
    with SandboxServer(latency=0.05) as api, open_outbox(database) as outbox:
        fill(outbox, 120)
        with workers(1, database, api.url, **short_lease) as (process,):
            wait_for(lambda: len(api.received) >= 15, process)
            process.kill()
            process.wait()
        in_flight = outbox.status().counts["sending"]
        assert in_flight <= 8, "no more rows are in doubt than there were senders"
        with workers(1, database, api.url, **short_lease) as (process,):
            ended(process)
        counts, arrived = outbox.status().counts, messages(api.received)
    assert counts["sent"] + counts["uncertain"] == 120
    assert counts["uncertain"] == in_flight
    assert set(Counter(arrived).values()) == {1}
    assert counts["sent"] <= len(arrived) <= 120
