"""What the metrics of a worker count, and that their labels are bounded."""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import afilsql
from afilsql.delivery import events, policy
from afilsql.delivery.pulse import FROZEN, Pulse
from afilsql.logstream import LogStream
from afilsql.outbox.records import Claim, Exchanged, Result
from afilsql.watching.codes import known
from afilsql.watching.databases import ByDatabase
from afilsql.watching.depth import Depth, Waiting
from afilsql.watching.health import LATELY, Health
from afilsql.watching.meters import Meters, ProcessMeters
from afilsql.watching.queue import QueueCollector
from afilsql.watching.watchers import RoundTrip, Watchers
from tests.unit.fake_outbox import FakeOutbox
from tests.unit.test_pulse import Clock
from tests.unit.test_worker import Watched, wait_for

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Registered(Meters):
    """Meters that a test reads."""

    def __init__(self, *accounts: str) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        super().__init__(self.registry, accounts, concurrency=4)


@pytest.fixture
def meters() -> Registered:
    return Registered("shop")


def value(meters: Registered | ProcessMeters, name: str, **labels: str) -> float | None:
    return meters.registry.get_sample_value(f"afilsql_{name}", labels)


def delivered(account: str = "shop", code: str | None = None, **more: Any) -> events.Delivered:
    kind = more.pop("kind", "failed" if code else "sent")
    return events.Delivered(1, account, more.pop("method", "sendmessage"), 1, kind, code, None, 5, **more)


def claim(**more: Any) -> Claim:
    return Claim(1, uuid4(), "shop", "sendmessage", {}, 1, 8, uuid4(), **more)


def result(of: Claim, kind: Any = "sent", *, ended: datetime = NOW, ms: int = 500) -> Result:
    return Result(of.id, of.lease_id, of.attempt, kind, ended - timedelta(milliseconds=ms), ms)


def test_accounts_and_codes_that_nobody_knows_are_counted_as_other(meters: Registered) -> None:
    for n in range(50):
        meters.notice(delivered(f"account-{n}", f"CODE_{n}"))
    labels = {"account": "other", "kind": "send", "outcome": "failed", "code": "other"}
    assert value(meters, "requests_total", **labels) == 50


def test_new_accounts_get_series_of_their_own_and_those_that_are_gone_lose_theirs() -> None:
    meters = Registered("shop", "news")
    for account in ("shop", "news", "support"):
        meters.notice(delivered(account))
        meters.notice(events.BreakerOpened(account, 5, 5, 5.0))
    one = claim(created_at=NOW)
    meters.called(one, result(one), 0, 1)
    sent = {"kind": "send", "outcome": "sent", "code": ""}
    assert value(meters, "requests_total", account="support", **sent) is None
    meters.adopt(["news", "support"], 9)
    for account in ("shop", "news", "support"):
        meters.notice(delivered(account))
    assert "shop" not in generate_latest(meters.registry).decode()
    assert value(meters, "requests_total", account="support", **sent) == 1
    assert value(meters, "requests_total", account="news", **sent) == 2
    assert value(meters, "requests_total", account="other", **sent) == 2
    assert value(meters, "breaker_opened_total", account="news") == 1
    assert value(meters, "senders") == 9


def test_several_databases_are_told_apart_and_each_metric_is_described_once() -> None:
    process = ProcessMeters(pulse=Pulse(), version="1")
    both = {name: Registered("shop") for name in ("sales", "support")}
    process.registry.register(ByDatabase({name: meters.registry for name, meters in both.items()}))
    both["sales"].asked(RoundTrip("exchange", 0, 1))
    both["support"].notice(events.DatabaseLost("away"))
    one = claim(created_at=NOW)
    for meters in both.values():
        meters.called(one, result(one), 0, 1)
    for name, up in (("sales", 1), ("support", 0)):
        assert value(process, "database_up", database=name) == up
        assert value(process, "call_seconds_bucket", database=name, kind="send", le="0.5") == 1
    text = generate_latest(process.registry).decode()
    described = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(described) == len(set(described))
    found = {sample.name: sample.labels for family in text_string_to_metric_families(text) for sample in family.samples}
    assert "database" in found["afilsql_senders"]
    for name in ("afilsql_build_info", "afilsql_loop_age_seconds", "process_cpu_seconds_total"):
        assert "database" not in found[name], "it is the process's"


def test_sends_gets_and_polls_are_told_apart(meters: Registered) -> None:
    for event in (delivered(), delivered(method="getchats"), delivered(method="getchats", poll=True)):
        meters.notice(event)
    for kind in ("send", "get", "poll"):
        assert value(meters, "requests_total", account="shop", kind=kind, outcome="sent", code="") == 1


@pytest.mark.parametrize(
    ("kind", "final", "verdict"),
    [
        ("sent", True, "arrived"),
        ("retry", True, "absent"),
        ("failed", True, "absent"),
        ("uncertain", False, "looked again"),
        ("uncertain", True, "undecided"),
        ("hold", False, "account held"),
    ],
)
def test_read_backs_are_counted_by_verdict(meters: Registered, kind: Any, final: bool, verdict: str) -> None:
    meters.notice(events.ReadBack(1, "shop", kind, None, final))
    assert value(meters, "read_backs_total", account="shop", verdict=verdict) == 1


def test_events_that_should_not_be_are_counted(meters: Registered) -> None:
    for event in (
        events.LeaseLost(1),
        events.ResultRefused(1, "no"),
        events.BreakerOpened("shop", 5, 5, 5.0),
        events.AccountHeld("shop", "MISSING_USER", None),
        events.DatabaseLost("gone"),
    ):
        meters.notice(event)
    assert value(meters, "database_up") == 0
    meters.notice(events.DatabaseBack(3.0))
    assert value(meters, "database_up") == 1
    for name in ("leases_lost", "results_refused", "database_outages"):
        assert value(meters, f"{name}_total") == 1
    for name in ("breaker_opened", "account_held"):
        assert value(meters, f"{name}_total", account="shop") == 1


def test_alerts_and_lost_log_lines_are_counted() -> None:
    meters = ProcessMeters(pulse=Pulse(), version="1")
    meters.alerted("alert_url", failed=True)
    meters.alerted("alert_url", failed=False)
    meters.lines_lost(3)
    assert value(meters, "alerts_total", hook="alert_url", outcome="failed") == 1
    assert value(meters, "alerts_total", hook="alert_url", outcome="sent") == 1
    assert value(meters, "log_lines_lost_total") == 3


def test_the_way_of_a_message_is_from_its_request_and_of_a_planned_one_from_its_time(meters: Registered) -> None:
    asked = claim(created_at=NOW - timedelta(seconds=20), wanted_at=NOW - timedelta(seconds=20))
    planned = claim(created_at=NOW - timedelta(days=1), wanted_at=NOW - timedelta(seconds=2))
    early = claim(created_at=NOW + timedelta(seconds=5))  # the database's clock is ahead
    for one in (asked, planned, early):
        meters.calling(one)
        meters.called(one, result(one), 0, 1)
    assert value(meters, "enqueue_to_sent_seconds_sum", account="shop") == 22
    assert value(meters, "enqueue_to_sent_seconds_count", account="shop") == 3
    assert value(meters, "call_seconds_sum", kind="send") == 1.5
    assert value(meters, "calls_in_flight") == 0


def test_what_was_not_sent_or_only_a_poll_is_not_on_its_way(meters: Registered) -> None:
    for one, kind in ((claim(created_at=NOW), "retry"), (claim(created_at=NOW, poll=True), "sent")):
        meters.called(one, result(one, kind), 0, 1)
    meters.called(claim(created_at=NOW), None, 0, 1)
    assert value(meters, "enqueue_to_sent_seconds_count", account="shop") is None


@pytest.mark.parametrize(
    ("handed_in", "taken", "work"), [(0, 0, "idle"), (0, 3, "claim"), (2, 0, "complete"), (2, 3, "both")]
)
def test_an_exchange_is_counted_by_what_it_did(meters: Registered, handed_in: int, taken: int, work: str) -> None:
    meters.asked(RoundTrip("exchange", 0, 250_000_000, handed_in=handed_in, taken=taken))
    assert value(meters, "database_call_seconds_sum", operation=work) == 0.25


def test_an_exchange_that_failed_is_an_error(meters: Registered) -> None:
    meters.asked(RoundTrip("exchange", 0, 1, "DatabaseUnavailable"))
    assert value(meters, "database_errors_total", operation="idle") == 1


def test_a_kept_list_counts_its_rows(meters: Registered) -> None:
    meters.asked(RoundTrip("receive", 0, 1, claim=claim(), list="messages", rows=7))
    assert value(meters, "listed_rows_total", account="shop", list="messages") == 7


def test_a_watcher_that_fails_costs_no_delivery() -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            def fail(*arguments: object) -> None:
                raise RuntimeError(name)

            return fail

    watchers = Watchers([cast(Any, Broken())])
    outbox = FakeOutbox(20)
    watched = Watched(cast(Any, watchers.outbox(cast(Any, outbox))), around=watchers.deliver, on_event=watchers.notice)
    with watched.running(until="drained") as future:
        assert future.result(5).sent == 20


def test_the_watched_outbox_tells_of_each_exchange_and_passes_on_the_rest() -> None:
    class Keeping:
        def __init__(self) -> None:
            self.trips: list[RoundTrip] = []

        def asked(self, trip: RoundTrip) -> None:
            self.trips.append(trip)

    keeping = Keeping()
    outbox: Any = Watchers([cast(Any, keeping)], nanoseconds=iter(range(0, 100, 10)).__next__).outbox(
        cast(Any, FakeOutbox(3))
    )
    answer: Exchanged = outbox.exchange("w", take=2)
    assert len(answer.claims) == 2
    assert keeping.trips == [RoundTrip("exchange", 0, 10, None, 0, 2)]
    assert len(outbox.queue) == 1


# Health.


def test_health_follows_the_loop_the_exchanges_and_the_events() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    health = Health(pulse, clock)
    assert health.unready() == "there was no exchange with the database yet"
    health.asked(RoundTrip("exchange", 0, 1, "DatabaseUnavailable"))
    assert health.unready() is not None
    health.asked(RoundTrip("exchange", 0, 1))
    assert (health.frozen(), health.unready()) == (None, None)
    clock.now += LATELY + 1
    pulse.beat()
    assert health.unready() == "the last exchange with the database was 61 s ago"
    health.asked(RoundTrip("exchange", 0, 1))
    health.notice(events.DatabaseLost("mssql://user:password@host"))
    clock.now += 12
    assert health.unready() == "the database has been away for 12 s: see the worker's log"
    health.notice(events.DatabaseBack(12.0))
    assert health.unready() is None
    clock.now += FROZEN
    assert health.frozen() == "the worker's loop has not moved for 132 s"
    assert health.unready() == health.frozen()
    pulse.beat()
    health.notice(events.Stopping(3))
    assert (health.frozen(), health.unready()) == (None, "the worker is stopping")


# The queue.


class Reader:
    """Answers as told; counts how often it was asked."""

    def __init__(self, depth: Depth) -> None:
        self.depth = depth
        self.asked = 0
        self.fail = False
        self.go = threading.Event()
        self.go.set()

    def read(self) -> Depth:
        self.asked += 1
        self.go.wait(20)
        if self.fail:
            raise OSError("away")
        return self.depth

    def close(self) -> None:
        pass


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader(
        Depth(
            (Waiting("shop", "queued", 5, 30.0), Waiting("x", "queued", 2, 3.0), Waiting("y", "queued", 1, 9.0)),
            (("shop", "open"), ("x", "held"), ("y", "open")),
        )
    )
    yield made
    made.go.set()


def sample(collector: QueueCollector, name: str, **labels: str) -> float | None:
    samples = [s for family in collector.collect() for s in family.samples]
    return next((s.value for s in samples if s.name == f"afilsql_{name}" and s.labels == labels), None)


def test_the_database_is_asked_when_somebody_looks_and_not_more_often_than_it_should_be(reader: Reader) -> None:
    clock = Clock()
    collector = QueueCollector(reader, str, every=15, monotonic=clock)
    assert reader.asked == 0
    for _ in range(3):
        assert sample(collector, "queue_rows", account="shop", state="queued") == 5
    assert reader.asked == 1
    clock.now += 15
    sample(collector, "queue_rows")
    assert reader.asked == 2
    collector.close()


def test_unknown_accounts_are_added_up(reader: Reader, meters: Registered) -> None:
    collector = QueueCollector(reader, meters.account)
    assert sample(collector, "queue_rows", account="other", state="queued") == 3
    assert sample(collector, "queue_oldest_seconds", account="other") == 9
    assert sample(collector, "account_state", account="other", state="held") == 1
    assert sample(collector, "account_state", account="shop", state="held") == 0
    collector.close()


def test_a_database_that_hangs_holds_up_no_scrape_for_long_and_old_figures_go(reader: Reader) -> None:
    clock = Clock()
    collector = QueueCollector(reader, str, monotonic=clock)
    assert sample(collector, "queue_rows", account="shop", state="queued") == 5
    reader.go.clear()
    clock.now += 30
    began = time.monotonic()
    assert sample(collector, "queue_rows", account="shop", state="queued") == 5
    assert time.monotonic() - began < 15, "a scrape does not wait for the database"
    clock.now += 60
    assert sample(collector, "queue_rows", account="shop", state="queued") is None
    collector.close()


def test_looks_that_fail_are_counted(reader: Reader) -> None:
    reader.fail = True
    collector = QueueCollector(reader, str)
    assert sample(collector, "queue_read_errors_total") == 1
    assert sample(collector, "queue_rows", account="shop", state="queued") is None
    collector.close()


# The log.


def test_lines_that_a_log_loses_are_told_as_they_are_lost() -> None:
    class Refusing:
        every = None

        def write(self, text: str) -> object:
            raise OSError("full")

        def tick(self) -> None:
            pass

        def close(self) -> None:
            pass

    lost: list[int] = []
    log = LogStream(Refusing(), lost_line=str, on_lost=lost.append)
    log.write("one\n")
    log.write("two\n")
    wait_for(lambda: sum(lost) == 2)
    log.close(1.0)
    assert sum(lost) == 2


def test_every_code_that_the_package_itself_gives_a_result_is_known_by_name() -> None:
    package = Path(afilsql.__file__).parent
    given = set(policy._CODE_OF.values())
    for file in (f for folder in ("api", "delivery") for f in (package / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("code", "error_code"):
                constants = (c for c in ast.walk(node.value) if isinstance(c, ast.Constant))
                given |= {c.value for c in constants if isinstance(c.value, str) and c.value.isupper()}
    given = {code for code in given if not code.endswith("_")}  # followed by another code, or a parameter's name
    assert {"TIMEOUT", "ROWS_REFUSED"} <= given
    assert {code for code in given if known(code) != code} == set()
