"""Several workers on one database: does each add what the first one brought?

    python -m tests.benchmarks.scale [--workers 1 2 4 8] [--latency 0.2] [--concurrency 8] [--database sqlite]

For each number of worker processes a queue is written, the simulated API (a process of its own) takes its time, and
after every worker has taken part for a while the messages sent in a span of time are counted. With a latency the
workers mostly wait, so that what is measured is how they share the database; concurrency ÷ latency is the limit of one.
"""

from __future__ import annotations

import argparse
import time

from afilsql.outbox import open_outbox
from tests.benchmarks.backlog import fill
from tests.faults.process_campaign import made
from tests.faults.processes import WORKER, sandbox, workers

#: Seconds since its last exchange within which a worker counts as there.
ALIVE = 3.0


def rate(url: str, count: int, *, latency: float, concurrency: int, settle: float, seconds: float) -> float:
    """Return the messages a second that so many workers send together.

    Args:
        url: A database with nothing in it that waits.
        count: Worker processes.
        latency: Seconds the API takes for an answer.
        concurrency: Calls at a time in each.
        settle: Seconds they get to fill their senders, once all are there: a first exchange takes longer.
        seconds: How long is counted.
    """
    limit = concurrency / latency * count
    rows = int(limit * (seconds + settle + 60))
    fill(url, rows, chats=rows)
    with (
        sandbox(latency) as api,
        open_outbox(url) as outbox,
        workers(count, url, api.url, command=WORKER, AFILSQL_CONCURRENCY=str(concurrency), AFILSQL_LOG_LEVEL="warning"),
    ):
        while len([w for w in outbox.status().workers if w[1] < ALIVE]) < count or outbox.status().counts["sent"] == 0:
            time.sleep(0.2)
        time.sleep(settle)
        began, before = time.monotonic(), outbox.status().counts["sent"]
        time.sleep(seconds)
        status = outbox.status()
        passed = time.monotonic() - began
        if not status.counts["queued"]:
            raise RuntimeError(f"the queue of {rows} ran empty: count a shorter time")
        return (status.counts["sent"] - before) / passed


def main() -> None:
    """Print a line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--concurrency", type=int, default=8, help="calls at a time in each worker")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds before counting begins")
    parser.add_argument("--seconds", type=float, default=20.0, help="counted for each")
    parser.add_argument("--database", default="sqlite", help="`sqlite`, or the URL of a T-SQL server's master database")
    asked = parser.parse_args()
    first = None
    for count in asked.workers:
        with made(asked.database) as url:
            found = rate(
                url,
                count,
                latency=asked.latency,
                concurrency=asked.concurrency,
                settle=asked.settle,
                seconds=asked.seconds,
            )
        first = first or found / count
        limit = count * asked.concurrency / asked.latency
        print(
            f"{count:3} workers  {found:7.0f}/s  {found / (first * count):5.2f} of linear  "
            f"{found / limit:5.2f} of the limit ({limit:.0f}/s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
