"""A worker process is told to end, in every phase of its life; or whoever started it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from afilsql.outbox import open_outbox
from tests.faults.connection_campaign import through
from tests.faults.processes import WORKER, ended, environment, sandbox, workers
from tests.faults.proxy import Plan, Proxy
from tests.faults.traffic import Producer, audit, drained, request, wait_until
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")


def test_told_to_end_while_it_starts_it_leaves_nothing_in_flight(empty_sqlite: str) -> None:
    with sandbox(0.05) as api, open_outbox(empty_sqlite) as outbox:
        outbox.enqueue_many([request(c, 1) for c in range(100)])
        for n in range(8):
            with workers(1, empty_sqlite, api.url, command=WORKER) as (process,):
                time.sleep(n * 0.07)
                process.send_signal((signal.SIGTERM, signal.SIGINT)[n % 2])
                # Before its handlers are there it holds nothing, and ends as any process does.
                assert process.wait(PATIENCE) in (0, -signal.SIGTERM, -signal.SIGINT, 1, 130), process.said()
            counts = outbox.status().counts
            assert counts["sending"] == counts["uncertain"] == 0
        assert counts["sent"] == api.count()


@pytest.mark.parametrize("signals", [["SIGTERM"], ["SIGINT"], ["SIGTERM", "SIGTERM"]], ids="+".join)
def test_told_to_end_in_the_middle_of_calls_it_finishes_them(empty_sqlite: str, signals: list[str]) -> None:
    with (
        sandbox(0.4) as api,
        open_outbox(empty_sqlite) as outbox,
        workers(1, empty_sqlite, api.url, command=WORKER) as (process,),
    ):
        outbox.enqueue_many([request(c, 1) for c in range(30)])
        wait_until(lambda: api.count() >= 8, "no call arrived")
        for name in signals:
            process.send_signal(getattr(signal, name))
            time.sleep(0.05)
        ended(process)
        counts = outbox.status().counts
        assert (counts["sending"], counts["uncertain"]) == (0, 0)
        assert counts["sent"] == api.count() < 30


def test_told_to_end_while_it_idles_it_ends_at_once(empty_sqlite: str) -> None:
    with workers(1, empty_sqlite, "http://127.0.0.1:9/", command=WORKER) as (process,):
        wait_until(lambda: process.events("worker_started"), "it did not start")
        time.sleep(0.3)
        began = time.monotonic()
        process.terminate()
        ended(process)
        assert time.monotonic() - began < 10, "not at its next sign of life, and not after its grace time of 30"


@pytest.mark.tsql
def test_told_to_end_in_an_outage_it_hands_in_what_it_can_and_gives_up_in_time(empty_tsql: str) -> None:
    cut = [False]
    grace = {"AFILSQL_GRACE_SECONDS": "2"}
    port = int(empty_tsql.split("@")[1].split(":")[1].split("/")[0])
    with (
        sandbox(0.3) as api,
        open_outbox(empty_tsql) as outbox,
        Proxy(port, lambda _n: Plan("request", 0 if cut[0] else None)) as proxy,
        workers(1, through(empty_tsql, proxy), api.url, command=WORKER, **grace) as (process,),
    ):
        outbox.enqueue_many([request(c, 1) for c in range(8)])
        wait_until(lambda: api.count() == 8, "the calls did not arrive")
        cut[0] = True
        proxy.cut_all()
        wait_until(lambda: process.events("database_lost"), "the outage went unnoticed")
        began = time.monotonic()
        process.terminate()
        ended(process)
        assert 1 < time.monotonic() - began < 25, "after its own grace time, not that of 30 by default"
        assert outbox.status().counts["sending"] == 8, "their leases run out, and a person looks"


#: Longer than a connection's attempt would keep the worker; it takes 15 s to be given up.
LONG = 12.0


@pytest.mark.tsql
def test_told_to_end_while_it_tries_to_connect_with_nothing_in_hand_it_ends_at_once(empty_tsql: str) -> None:
    plan = [Plan()]
    port = int(empty_tsql.split("@")[1].split(":")[1].split("/")[0])
    with (
        open_outbox(empty_tsql) as outbox,
        Proxy(port, lambda _n: plan[0]) as proxy,
        workers(1, through(empty_tsql, proxy), "http://127.0.0.1:9/", command=WORKER) as (process,),
    ):
        wait_until(lambda: process.events("ready"), "it did not start")
        plan[0] = Plan("request", 0, "hole")
        before, lost = proxy.connections, len(process.events("database_lost"))
        proxy.cut_all()
        wait_until(lambda: len(process.events("database_lost")) > lost, "the outage went unnoticed")
        wait_until(lambda: proxy.connections > before, "it did not try again", every=0.01)
        outbox.enqueue_many([request(c, 1) for c in range(8)])
        began = time.monotonic()
        process.terminate()
        ended(process)
        assert time.monotonic() - began < LONG
        assert [set(e) & {"sent", "lost"} for e in process.events("worker_ended")] == [{"sent", "lost"}]
        assert outbox.status().counts["queued"] == 8


@pytest.mark.tsql
def test_told_to_end_while_it_tries_to_connect_with_results_in_hand_it_takes_its_grace_time_and_no_more(
    empty_tsql: str,
) -> None:
    plan = [Plan()]
    port = int(empty_tsql.split("@")[1].split(":")[1].split("/")[0])
    with (
        sandbox(0.3) as api,
        open_outbox(empty_tsql) as outbox,
        Proxy(port, lambda _n: plan[0]) as proxy,
        workers(1, through(empty_tsql, proxy), api.url, command=WORKER, AFILSQL_GRACE_SECONDS="2") as (process,),
    ):
        outbox.enqueue_many([request(c, 1) for c in range(8)])
        wait_until(lambda: api.count() == 8, "the calls did not arrive")
        plan[0] = Plan("request", 0, "hole")
        before, lost = proxy.connections, len(process.events("database_lost"))
        proxy.cut_all()
        wait_until(lambda: len(process.events("database_lost")) > lost, "the outage went unnoticed")
        wait_until(lambda: proxy.connections > before, "it did not try again", every=0.01)
        began = time.monotonic()
        process.terminate()
        ended(process)
        assert 1 < time.monotonic() - began < LONG
        assert outbox.status().counts["sending"] == 8, "their leases run out, and they are read back"


@pytest.mark.tsql
def test_an_exchange_that_ends_an_outage_is_followed_by_one_that_takes(empty_tsql: str) -> None:
    plan = [Plan("request", 0)]
    port = int(empty_tsql.split("@")[1].split(":")[1].split("/")[0])
    with (
        sandbox() as api,
        open_outbox(empty_tsql) as outbox,
        Proxy(port, lambda _n: plan[0]) as proxy,
        workers(1, through(empty_tsql, proxy), api.url, command=(*WORKER, "--once")) as (process,),
    ):
        outbox.enqueue_many([request(c, 1) for c in range(3)])
        wait_until(lambda: process.events("database_lost"), "the outage went unnoticed")
        plan[0] = Plan()
        ended(process)
        assert outbox.status().counts["sent"] == api.count() == 3


def test_a_worker_whose_log_nobody_reads_any_more_goes_on(empty_sqlite: str) -> None:
    with sandbox(0.02) as api, open_outbox(empty_sqlite) as outbox:
        process = subprocess.Popen(
            WORKER, env=environment(empty_sqlite, api.url), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            assert process.stderr is not None
            assert b"worker_started" in process.stderr.readline()
            process.stderr.close()
            with Producer(empty_sqlite, conversations=20, rate=100) as producer:
                time.sleep(0.5)
            wait_until(lambda: drained(outbox) or process.poll() is not None, "the queue was not drained")
            process.terminate()
            assert process.wait(PATIENCE) in (0, 120)  # 120 is Python's word for a stream it could not flush
            assert audit(outbox, producer.accepted, api.received()).flawless()
        finally:
            process.kill()
            process.wait()
