"""How many calls of the database a delivered message costs while the queue is full.

Counted by the worker itself (`afilsql_database_call_seconds`): on a T-SQL engine a call is one EXEC, which is all that
goes over the wire for it; embedded it is one transaction inside the worker's own process.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.found import Found
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage
from tests.benchmarks.throughput import delivering
from tests.faults.watching import Watched

#: Seconds the API takes for an answer: none, and what one across a country takes.
LATENCIES = (0.05, 0.0)


def calls(worker: Watched) -> float:
    """Return how many calls of the database a worker has made."""
    counted = "afilsql_database_call_seconds_count"
    return sum(value for name, value in worker.values().items() if name.startswith(counted))


def measure(stage: Stage) -> Iterator[Found]:
    """At default settings; the figure is that at 50 ms, an API without latency is told beside it."""
    seconds = stage.pick(10.0, 3.0)
    found = {latency: [_once(stage, latency, seconds) for _ in range(stage.pick(3, 1))] for latency in LATENCIES}
    stage.say(", ".join(f"{latency * 1000:.0f} ms: {values[-1]:.3f}" for latency, values in found.items()))
    slow, quick = (Spread.of(found[latency]) for latency in LATENCIES)
    yield Found("statements", stage.database, slow, notes=(f"with an API without latency {quick.median:.3f}",))


def _once(stage: Stage, latency: float, seconds: float) -> float:
    with (
        stage.fresh() as url,
        delivering(url, latency=latency, settle=1.0, seconds=seconds + 5, AFILSQL_METRICS_PORT="0") as delivery,
    ):
        watched = Watched(delivery.workers[0])
        before = calls(watched)
        rate = delivery.count(seconds)
        return (calls(watched) - before) / rate.messages
