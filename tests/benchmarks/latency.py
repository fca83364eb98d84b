"""With an API that takes 50 ms, at default settings: against a DBA's script, and against what cannot be exceeded."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.filling import fill
from tests.benchmarks.found import Found
from tests.benchmarks.script import script
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage
from tests.benchmarks.throughput import CONCURRENCY, delivering
from tests.faults.processes import sandbox

#: Seconds the API takes.
LATENCY = 0.05


def measure(stage: Stage) -> Iterator[Found]:
    """The script and the worker, in turn, each on a database of the same kind."""
    settle, seconds = stage.pick((3.0, 10.0), (2.0, 4.0))
    scripts, workers = list[float](), list[float]()
    for n in range(stage.pick(5, 3)):
        with stage.fresh() as url, sandbox(LATENCY) as api:
            fill(url, int(seconds / LATENCY) + 1, chats=1000)
            with script(url) as loop:
                scripts.append(loop.send(api.url, seconds))
        with stage.fresh() as url, delivering(url, latency=LATENCY, settle=settle, seconds=seconds) as delivery:
            rate = delivery.count(seconds)
            workers.append(rate.per_second)
        stage.say(f"round {n + 1}: script {scripts[-1]:.1f}/s, worker {workers[-1]:,.0f}/s")
    found, notes = Spread.of(workers), (f"processor for each message: {rate.shares}",)
    yield Found("script", stage.database, found, Spread.of(scripts), notes)
    yield Found("limit", stage.database, found, Spread((CONCURRENCY / LATENCY,)), notes)
