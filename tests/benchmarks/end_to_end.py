"""With an API that answers at once: what the database costs, against `requests` without one."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks import bare
from tests.benchmarks.found import Found
from tests.benchmarks.report import number
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage
from tests.benchmarks.throughput import CONCURRENCY, Rate, delivering

#: Threads of bare requests, to tell what the worker's number of them costs by itself.
_FEWER = 8


def measure(stage: Stage) -> Iterator[Found]:
    """Bare requests, one worker and two, in turn; every process has the defaults."""
    settle, seconds = stage.pick((3.0, 10.0), (1.5, 4.0))
    without, one, two = list[Rate](), list[Rate](), list[Rate]()
    for n in range(stage.pick(5, 3)):
        without.append(bare.rate(settle=settle, seconds=seconds))
        for count, found in ((1, one), (2, two)):
            with stage.fresh() as url, delivering(url, latency=0.0, count=count, settle=settle, seconds=seconds) as d:
                found.append(d.count(seconds))
        stage.say(f"round {n + 1}: " + ", ".join(f"{rates[-1].per_second:,.0f}/s" for rates in (without, one, two)))
    limit = Spread.of(rate.per_second for rate in without)
    fewer = bare.rate(settle=settle, seconds=seconds, threads=_FEWER).per_second
    peer = (
        f"without a database {_middle(without).shares.replace('worker', 'client')}; "
        f"once with {_FEWER} threads in place of {CONCURRENCY}, bare requests made {number(fewer)}/s"
    )
    for name, rates in (("one", one), ("two", two)):
        notes = (f"processor for each message: {_middle(rates).shares}", peer)
        yield Found(name, stage.database, Spread.of(rate.per_second for rate in rates), limit, notes)


def _middle(rates: list[Rate]) -> Rate:
    return sorted(rates, key=lambda rate: rate.per_second)[len(rates) // 2]
