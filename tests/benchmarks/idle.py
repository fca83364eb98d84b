"""What a worker costs that has nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.benchmarks import processor
from tests.benchmarks.found import Found
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage
from tests.benchmarks.statements import calls
from tests.benchmarks.throughput import DEFAULTS
from tests.faults.processes import WORKER, sandbox, workers
from tests.faults.watching import Watched

#: Seconds until a worker that found nothing asks as rarely as it ever does.
_CALM = 8.0


def measure(stage: Stage) -> Iterator[Found]:
    """One worker on an empty database."""
    seconds, rounds = stage.pick((20.0, 3), (20.0, 1))
    asked, busy = list[float](), list[float]()
    with (
        stage.fresh() as url,
        sandbox() as api,
        workers(1, url, api.url, command=WORKER, AFILSQL_METRICS_PORT="0", **DEFAULTS) as (worker,),
    ):
        watched = Watched(worker)
        watched.get_ready()
        time.sleep(_CALM)
        server = processor.Engine(url)
        for _ in range(rounds):
            before = calls(watched)
            spent, engine, began = processor.seconds(worker.pid), server.seconds(), time.monotonic()
            time.sleep(seconds)
            spent, passed = processor.seconds(worker.pid) - spent, time.monotonic() - began
            engine = server.seconds() - engine
            asked.append((calls(watched) - before) / passed)
            busy.append(100 * spent / passed)
            stage.say(f"{asked[-1]:.2f} calls/s, {busy[-1]:.2f} % of a processor")
    share = (f"the T-SQL engine meanwhile {100 * engine / passed:.1f} %, whoever asked it",)
    yield Found("statements", stage.database, Spread.of(asked))
    yield Found("cpu", stage.database, Spread.of(busy), notes=share if engine else ())
