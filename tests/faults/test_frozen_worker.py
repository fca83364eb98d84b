"""A worker process stands still for longer than its lease, and goes on as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import pytest

from afilsql.outbox import open_outbox
from tests.faults.processes import ended, sandbox, workers
from tests.faults.traffic import Producer, audit, drained, request, wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")

LEASE = 2
RUNNER = (sys.executable, "-m", "tests.faults.runner", "--lease", str(LEASE))


def test_a_worker_that_wakes_after_its_lease_neither_writes_nor_sends(empty_outbox: str) -> None:
    with (
        sandbox(2.0) as api,  # time enough to stand still while the calls are under way
        open_outbox(empty_outbox) as outbox,
        workers(1, empty_outbox, api.url, command=RUNNER) as (frozen,),
    ):
        # Its first exchange may take longer than its lease.
        wait_until(lambda: frozen.events("ready"), "the worker did not start", every=0.1)
        many = [request(c, n) for n in range(2) for c in range(8)]
        accepted = dict(zip(outbox.enqueue_many(many), (r.parameters["message"] for r in many), strict=True))
        wait_until(lambda: api.count() >= 8, "the first of each conversation did not arrive")
        frozen.send_signal(signal.SIGSTOP)
        refused_before = len(frozen.events("lease_lost"))
        with workers(1, empty_outbox, api.url, command=RUNNER, AFILSQL_WORKER_NAME="next") as (other,):
            wait_until(lambda: drained(outbox), "the other worker did not take over", every=0.1)
            before = {i.id: i.status for i in outbox.items()}, api.count()
            in_flight = {id for id, status in before[0].items() if status == "uncertain"}
            assert in_flight
            frozen.send_signal(signal.SIGCONT)
            wait_until(
                lambda: {event["id"] for event in frozen.events("lease_lost")[refused_before:]} == in_flight,
                "its results were not refused",
            )
            for process in (frozen, other):
                process.terminate()
                ended(process)
        assert ({i.id: i.status for i in outbox.items()}, api.count()) == before
        found = audit(outbox, accepted, api.received())
    # A row whose call had not begun when the worker stood still is uncertain as well, and never arrived.
    assert (found.arrived + found.uncertain_absent, found.twice, found.lost, found.out_of_order) == (16, 0, 0, 0)
    assert frozen.returncode == 0


def test_workers_frozen_at_random_moments_lose_nothing_and_send_nothing_twice(empty_sqlite: str) -> None:
    chance = random.Random(5)
    with (
        sandbox(0.03) as api,
        open_outbox(empty_sqlite) as outbox,
        workers(2, empty_sqlite, api.url, command=RUNNER) as processes,
    ):
        wait_until(lambda: len(outbox.status().workers) == 2, "the workers did not start", every=0.1)
        with Producer(empty_sqlite, conversations=40, rate=100, seed=5) as producer:
            for n in range(4):
                time.sleep(chance.uniform(0.1, 0.4))
                processes[n % 2].send_signal(signal.SIGSTOP)
                time.sleep(LEASE / 3 if n < 2 else LEASE + 0.3)
                processes[n % 2].send_signal(signal.SIGCONT)
        wait_until(lambda: drained(outbox), "the queue was not drained", every=0.1)
        for process in processes:
            process.terminate()
            ended(process)
        found = audit(outbox, producer.accepted, api.received())
    # Who is stopped between the last look at the clock and the sending, a microsecond apart, sends late when woken.
    assert found.lost == found.twice == found.out_of_order - found.uncertain_late == 0, found
    assert found.statuses["sent"] + found.uncertain_arrived + found.uncertain_absent == found.accepted
