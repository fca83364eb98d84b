"""On a quiet system: how long from the commit of a request until it is at the API."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from tests.benchmarks.found import Found
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage
from tests.benchmarks.throughput import DEFAULTS
from tests.faults.processes import WORKER, sandbox, workers
from tests.faults.traffic import wait_until
from tests.faults.watching import Watched

#: Seconds after which a worker that found nothing asks as rarely as it ever does, and within which it asks once then.
_CALM, _SPAN = 3.5, 2.0


def measure(stage: Stage) -> Iterator[Found]:
    """Single messages at random moments, long after the one before; the clock is this machine's throughout."""
    chance = random.Random(1)
    committed = list[datetime]()
    with (
        stage.fresh() as url,
        sandbox() as api,
        open_outbox(url) as outbox,
        workers(1, url, api.url, command=WORKER, AFILSQL_METRICS_PORT="0", **DEFAULTS) as (worker,),
    ):
        Watched(worker).get_ready()
        for n in range(-1, stage.pick(60, 10)):  # the first is no sample: it finds a worker that never called yet
            time.sleep(_CALM + chance.uniform(0, _SPAN))
            parameters = {"platform": "whatsapp", "platformid": "100", "destination": f"346{n}", "message": f"{n}"}
            outbox.enqueue(Request("sendmessage", parameters))
            committed.append(datetime.now(UTC))
        wait_until(lambda: api.count() == len(committed), "the last message did not arrive", 30, every=0.1)
        arrived = [datetime.fromisoformat(call["at"]) for call in api.received()]
    took = Spread.of((a - c).total_seconds() for c, a in list(zip(committed, arrived, strict=True))[1:])
    late = Spread((took.percentile(99),))
    stage.say(f"p50 {took.median:.2f} s, p99 {late.median:.2f} s")
    ordered = sorted(took.values)
    curve = tuple((value, 100 * (n + 1) / len(ordered)) for n, value in enumerate(ordered))
    yield Found("p50", stage.database, took, notes=(f"{len(ordered)} messages",), curve=curve)
    yield Found("p99", stage.database, late, notes=(f"{len(ordered)} messages",))
