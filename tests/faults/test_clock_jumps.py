"""The wall clock of a worker's machine jumps while it delivers."""

from __future__ import annotations

import os
import sys
import time

import pytest

from afilsql.outbox import open_outbox
from tests.faults.processes import ended, sandbox, workers
from tests.faults.traffic import Producer, audit, drained, wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")

HOUR, YEAR = 3600, 365 * 86400


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 10 * YEAR, -10 * YEAR])
def test_a_clock_that_jumps_loses_nothing_and_sends_nothing_twice(empty_sqlite: str, jump: int) -> None:
    deliver_while_it_jumps(empty_sqlite, jump)


@pytest.mark.tsql
def test_a_clock_that_jumps_means_nothing_where_the_server_has_its_own(empty_tsql: str) -> None:
    deliver_while_it_jumps(empty_tsql, 10 * YEAR)


def deliver_while_it_jumps(database: str, jump: int) -> None:
    """Jump with calls in flight, and count."""
    runner = (sys.executable, "-m", "tests.faults.runner", "--lease", "5", "--jump", str(jump), "--after", "1.2")
    with (
        sandbox(0.2) as api,
        open_outbox(database) as outbox,
        workers(1, database, api.url, command=runner) as (process,),
        Producer(database, conversations=40, rate=40, seed=2) as producer,
    ):
        wait_until(lambda: process.events("delivered"), "nothing was delivered", every=0.05)
        time.sleep(1.4)  # beyond the jump: eight calls are in flight at any time
        producer.stop()
        wait_until(lambda: drained(outbox), "the queue was not drained", every=0.1)
        process.terminate()
        ended(process)
        found = audit(outbox, producer.accepted, api.received())
    assert found.flawless(), found
