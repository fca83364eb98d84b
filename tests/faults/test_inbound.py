"""Subscriptions with real workers and the simulated API: what comes in comes by itself, and costs no send anything."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from afilsql.api.client import AfilnetClient
from afilsql.delivery.worker import Worker
from afilsql.deploy import migrate
from afilsql.outbox.records import Limit, Request
from afilsql.outbox.sqlite import SqliteOutbox
from afilsql.sandbox import SandboxServer
from afilsql.sandbox.state import SEEDED_DESTINATION
from tests.faults.processes import WORKER, workers
from tests.faults.traffic import wait_until
from tests.patience import PATIENCE

CHANNEL = {"platform": "whatsapp", "platformid": "100"}
PAST = "2020-01-01 00:00:00.000000"


@dataclass
class Embedded:
    """An outbox in a file, whose clock the test moves."""

    path: Path
    passed: list[timedelta] = field(default_factory=lambda: [timedelta()])

    def open(self) -> SqliteOutbox:
        return SqliteOutbox(
            f"sqlite:///{self.path}",
            clock=lambda: datetime.now(UTC) + self.passed[0],
            monotonic=lambda: time.monotonic() + self.passed[0].total_seconds(),
        )

    def later(self, seconds: float) -> None:
        self.passed[0] += timedelta(seconds=seconds)

    def run(self, sql: str) -> list[Any]:
        """A statement of somebody else on the file."""
        with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as connection, connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def embedded(tmp_path: Path) -> Embedded:
    path = tmp_path / "outbox.db"
    migrate(f"sqlite:///{path}")
    return Embedded(path)


def worker_of(outbox: SqliteOutbox, url: str, **settings: Any) -> Worker:
    client = AfilnetClient("demo", "demo", url=url)
    return Worker(outbox, lambda account: client, name="w", **{"concurrency": 4, "grace_seconds": 5.0} | settings)


@contextmanager
def working(worker: Worker) -> Iterator[None]:
    """The worker runs in a thread while the block lasts."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert failed == []


def write(url: str, text: str, destination: str = SEEDED_DESTINATION) -> None:
    """Another program of the same account sends a message; the outbox hears of it from the API only."""
    client = AfilnetClient("demo", "demo", url=url)
    client.call("sendmessage", {**CHANNEL, "destination": destination, "message": text})


def texts(outbox: SqliteOutbox) -> list[str]:
    return [str(m["message"]) for m in outbox.rows_of("messages", limit=100_000)]


def test_a_subscription_brings_messages_without_anyone_asking(embedded: Embedded) -> None:
    with SandboxServer() as api, embedded.open() as outbox, working(worker_of(outbox, api.url)):
        outbox.subscribe("whatsapp", "100", every_seconds=5)
        wait_until(lambda: texts(outbox), "the history did not come")
        assert [m["is_new"] for m in outbox.rows_of("messages")] == [False]
        for text in ("one", "two"):
            api.sandbox.customer_says("demo", "whatsapp", "100", SEEDED_DESTINATION, text)
        write(api.url, "hello", "34611111111")
        embedded.later(6)
        wait_until(lambda: len(texts(outbox)) == 4, "the new ones did not come")
        rows = outbox.rows_of("messages")
        assert [m["message"] for m in rows if m["destination"] == SEEDED_DESTINATION][1:] == ["one", "two"]
        assert [(m["is_new"], m["sent"]) for m in rows if m["destination"] == SEEDED_DESTINATION] == [
            (False, False),
            (True, False),
            (True, False),
        ]
        assert [(m["is_new"], m["sent"]) for m in rows if m["destination"] != SEEDED_DESTINATION] == [(True, True)]
        calls = len(api.received)
        embedded.later(6)
        wait_until(lambda: len(api.received) > calls, "the channel was not asked for again")
        wait_until(lambda: not outbox.status().counts["sending"], "the call did not end")
        assert {call["method"] for call in api.received[calls:]} == {"getchats"}, "no chat had changed"


def test_a_send_of_our_own_is_recognized_by_itself(embedded: Embedded) -> None:
    with SandboxServer() as api, embedded.open() as outbox, working(worker_of(outbox, api.url)):
        outbox.subscribe("whatsapp", "100", every_seconds=5)
        wait_until(lambda: texts(outbox), "the history did not come")
        chat = {**CHANNEL, "destination": SEEDED_DESTINATION}
        id = outbox.enqueue(Request("sendmessage", {**chat, "message": "Your order left."}))
        wait_until(lambda: outbox.get(id).item.status == "sent", "it was not sent")
        embedded.later(6)
        wait_until(lambda: outbox.get(id).item.delivery_status == "sent", "it was not recognized")
        question, answer = outbox.conversation("whatsapp", "100", SEEDED_DESTINATION)
        assert (question.sent, question.request_id) == (False, None)
        assert (answer.sent, answer.message, answer.request_id) == (True, "Your order left.", id)


def test_sends_go_first_however_much_subscriptions_ask_and_these_keep_to_their_budget(embedded: Embedded) -> None:
    embedded.run("UPDATE setting SET value = '24' WHERE name = 'inbound_per_minute'")
    with SandboxServer() as api, embedded.open() as outbox:
        for n in range(40):
            outbox.subscribe("whatsapp", "100", f"346{n:08}", every_seconds=5)
        outbox.subscribe("whatsapp", "100", every_seconds=5)
        sends = [Request("sendmessage", {**CHANNEL, "destination": f"346{n:08}", "message": "x"}) for n in range(200)]
        ids = outbox.enqueue_many(sends)
        began = time.monotonic()
        worker_of(outbox, api.url).run(until="drained")
        took = time.monotonic() - began
        methods = [call["method"] for call in api.received]
        assert {outbox.get(id).item.status for id in ids} == {"sent"}
    gets = [n for n, method in enumerate(methods) if method != "sendmessage"]
    assert gets[0] >= 200 - 2 * 4, "the first waited until there were senders to spare"
    assert 6 <= len(gets) <= 6 + 24 / 60 * took + 1


def test_a_trigger_that_fails_harms_no_send_and_the_messages_come_once_it_is_gone(embedded: Embedded) -> None:
    chat = {**CHANNEL, "destination": SEEDED_DESTINATION}
    embedded.run("CREATE TRIGGER theirs AFTER INSERT ON chat_message BEGIN SELECT RAISE(ABORT, 'divided by zero'); END")
    with SandboxServer() as api, embedded.open() as outbox, working(worker_of(outbox, api.url, random=lambda: 0.1)):
        outbox.subscribe("whatsapp", "100", SEEDED_DESTINATION, every_seconds=5)
        asked = outbox.enqueue(Request("getmessages", chat))
        ids = outbox.enqueue_many(
            [Request("sendmessage", chat | {"destination": str(n)} | {"message": "x"}) for n in range(40)]
        )
        wait_until(lambda: outbox.subscriptions()[0].failures, "the poll did not fail")
        wait_until(lambda: {outbox.get(id).item.status for id in ids} == {"sent"}, "the sends did not go")
        (subscription,) = outbox.subscriptions()
        assert subscription.error_code == "ROWS_REFUSED"
        wait_until(lambda: outbox.get(asked).history, "nothing is known of the refusal")
        tried = outbox.get(asked).history[0]
        assert tried.error_code == "ROWS_REFUSED"
        assert "divided by zero" in (tried.detail or "")
        assert texts(outbox) == []
        embedded.run("DROP TRIGGER theirs")
        wait_until(lambda: outbox.get(asked).item.status == "sent", "what somebody asked was not tried again")
        write(api.url, "later")
        embedded.later(60)
        wait_until(lambda: len(texts(outbox)) == 2, "the messages did not come")


@pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")
def test_workers_killed_while_they_listen_lose_no_message(embedded: Embedded) -> None:
    chats, rounds, each = 6, 4, 30
    written: list[str] = []
    embedded.run("UPDATE setting SET value = '6000' WHERE name = 'inbound_per_minute'")
    with SandboxServer(latency=0.02) as api, embedded.open() as outbox:
        outbox.subscribe("whatsapp", "100", every_seconds=5)
        url = f"sqlite:///{embedded.path}"
        for n in range(rounds):
            for _ in range(each):
                write(api.url, str(len(written)), f"3461{len(written) % chats}")
                written.append(str(len(written)))
            time_passes(embedded)
            enough = len(api.received) + 2 + n
            with workers(1, url, api.url, command=WORKER) as (process,):
                wait_until(lambda enough=enough: len(api.received) >= enough, "no worker listens", every=0.005)
                process.kill()
                process.wait()
        time_passes(embedded)
        with workers(1, url, api.url, command=WORKER):
            wait_until(lambda: len(texts(outbox)) >= len(written) + 1, "messages are lost")
        kept = [(m["destination"], m["message"]) for m in outbox.rows_of("messages", limit=100_000)]
    assert sorted(text for _, text in kept) == sorted([*written, "Hello, is my order on its way?"]), "each once"
    for chat in range(chats):
        assert [text for destination, text in kept if destination == f"3461{chat}"] == written[chat::chats], "in order"


def time_passes(embedded: Embedded) -> None:
    """No worker is left: the leases of the last one run out, its polls fail, and what they asked is due again."""
    embedded.run(f"UPDATE outbox SET lease_until = '{PAST}' WHERE status = 'sending'")
    with embedded.open() as outbox:
        outbox.exchange("time")
        time.sleep(0.01)
        outbox.exchange("time", take=1, limits=[Limit("default", room=0)])
    embedded.run(f"UPDATE subscription SET due_at = '{PAST}'")
    embedded.run(f"UPDATE chat SET poll_at = '{PAST}' WHERE poll_at IS NOT NULL")
