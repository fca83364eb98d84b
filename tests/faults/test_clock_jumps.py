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
def test_a_clock_that_jumps_loses_nothing_and_sends_nothing_twice(empty_outbox: str, jump: int) -> None:
    runner = (sys.executable, "-m", "tests.faults.runner", "--lease", "5", "--jump", str(jump), "--after", "1.2")
    with (
        sandbox(0.05) as api,
        open_outbox(empty_outbox) as outbox,
        workers(1, empty_outbox, api.url, command=runner) as (process,),
    ):
        wait_until(lambda: outbox.status().workers, "the worker did not start", every=0.02)
        with Producer(empty_outbox, conversations=40, rate=100, seed=2) as producer:
            time.sleep(1.5)
        wait_until(lambda: drained(outbox), "the queue was not drained", every=0.1)
        process.terminate()
        ended(process)
        assert audit(outbox, producer.accepted, api.received()).flawless()
