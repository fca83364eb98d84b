"""Cut the connections to a T-SQL engine at every point of what is said on them, and count what became of every request.

    python -m tests.faults.connection_campaign --database "$AFILSQL_TEST_URL" --step 7

A worker process and a producer reach the database through a proxy. Each of their connections is cut after so many bytes
of the request, or of the answer: in the middle of a login, of a statement, of the rows taken, or between a commit and
the word of it.
"""

from __future__ import annotations

import argparse
import os
import random
import time

import sqlalchemy as sa

from afilsql.outbox import open_outbox
from tests.faults.process_campaign import Outcome, made
from tests.faults.processes import WORKER, ended, sandbox, workers
from tests.faults.proxy import Plan, Proxy, Way
from tests.faults.traffic import Producer, audit, drained, wait_until
from tests.patience import PATIENCE

#: Beyond a login and several exchanges.
BYTES: dict[Way, int] = {"request": 6000, "answer": 3000}


def through(database: str, proxy: Proxy) -> str:
    """Return the database's URL by way of the proxy."""
    return sa.make_url(database).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)


def campaign(database: str, *, step: int, seed: int, latency: float = 0.02, rate: float = 80.0) -> Outcome:
    """Run it on a migrated, empty database.

    Args:
        database: Its URL.
        step: Bytes between one cut and the next.
        seed: Of the cuts' order and of the producer.
        latency: Seconds the simulated API takes to answer.
        rate: Messages enqueued a second.
    """
    plans = [Plan(way, after) for way, most in BYTES.items() for after in range(0, most, step)]
    random.Random(seed).shuffle(plans)
    settings = {"AFILSQL_LEASE_SECONDS": "30"}
    with (
        sandbox(latency) as api,
        open_outbox(database) as outbox,
        Proxy(sa.make_url(database).port or 1433, lambda n: plans[n] if n < len(plans) else Plan()) as proxy,
        workers(1, through(database, proxy), api.url, command=WORKER, **settings) as (process,),
    ):
        began = time.monotonic()
        with Producer(through(database, proxy), conversations=100, rate=rate, seed=seed) as producer:
            wait_until(
                lambda: len(proxy.broken) >= len(plans) or process.poll() is not None,
                f"not all cuts were made: {len(proxy.broken)} of {len(plans)}",
                PATIENCE + len(plans),
            )
        assert process.poll() is None, process.said()[-2000:]
        wait_until(lambda: drained(outbox), f"the queue was not drained: {process.said()[-1000:]}", every=0.2)
        process.terminate()
        ended(process)
        assert {plan.way for plan in proxy.broken} == set(BYTES)
        return Outcome(len(proxy.broken), time.monotonic() - began, audit(outbox, producer.accepted, api.received()))


def main() -> None:
    """Run it and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default=os.environ.get("AFILSQL_TEST_URL"), help="URL of the master database")
    parser.add_argument("--step", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with made(options.database) as url:
        outcome = campaign(url, step=options.step, seed=options.seed)
    print(f"{outcome.kills} cuts in {outcome.seconds:.0f} s: {outcome.audit}")


if __name__ == "__main__":
    main()
