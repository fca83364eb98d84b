"""Several workers on one database: does each add what the first one brought?

    python -m tests.benchmarks.scale [--workers 1 2 4 8] [--latency 0.2] [--concurrency 8] [--database sqlite]

For each number of worker processes a queue is written, the simulated API (a process of its own) takes its time, and
after every worker has taken part for a while the messages sent in a span of time are counted. With a latency the
workers mostly wait, so that what is measured is how they share the database; concurrency ÷ latency is the limit of one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tests.benchmarks.found import Found
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage
from tests.benchmarks.throughput import delivering
from tests.faults.process_campaign import made

LATENCY, CONCURRENCY = 0.2, 8
COUNTS = (1, 2, 4, 8)


def rate(url: str, count: int, *, latency: float, concurrency: int, settle: float, seconds: float) -> float:
    """Return the messages a second that so many workers send together.

    Args:
        url: A database with nothing in it that waits.
        count: Worker processes.
        latency: Seconds the API takes for an answer.
        concurrency: Calls at a time in each.
        settle: Seconds they get once all have delivered some.
        seconds: How long is counted.
    """
    calls = {"AFILSQL_CONCURRENCY": str(concurrency), "AFILSQL_LOG_LEVEL": "warning"}
    with delivering(url, latency=latency, count=count, settle=settle, seconds=seconds, **calls) as delivery:
        return delivery.count(seconds).per_second


def measure(stage: Stage) -> Iterator[Found]:
    """One worker, two, four and eight, in turn."""
    settle, seconds = stage.pick((5.0, 15.0), (3.0, 5.0))
    rates: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(stage.pick(3, 1)):
        for count, found in rates.items():
            with stage.fresh() as url:
                found.append(rate(url, count, latency=LATENCY, concurrency=CONCURRENCY, settle=settle, seconds=seconds))
            stage.say(f"{count} workers: {found[-1]:.0f}/s")
    one = Spread.of(rates[1])
    curve = tuple((float(count), Spread.of(found).median) for count, found in rates.items())
    for count in COUNTS[1:]:
        linear = Spread.of(count * value for value in one.values)
        notes = (f"{CONCURRENCY} calls each, so that {count * CONCURRENCY / LATENCY:.0f}/s are the limit",)
        yield Found(str(count), stage.database, Spread.of(rates[count]), linear, notes, curve)


def main() -> None:
    """Print a line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--latency", type=float, default=LATENCY, help="seconds")
    parser.add_argument("--concurrency", type=int, default=CONCURRENCY, help="calls at a time in each worker")
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
