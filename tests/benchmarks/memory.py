"""A million requests waiting: is the worker's memory the same at the end as in the first minute?"""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks import backlog
from tests.benchmarks.filling import fill
from tests.benchmarks.found import Found
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage
from tests.benchmarks.throughput import DEFAULTS

ROWS = 1_000_000


def measure(stage: Stage) -> Iterator[Found]:
    """One worker at default settings works the queue off, and its memory is read every few seconds."""
    rows, seconds, first = stage.pick((ROWS, 600.0, 60.0), (200_000, 45.0, 15.0))
    with stage.fresh() as url:
        fill(url, rows, chats=rows // 20)
        found = list(backlog.measure(url, seconds, **DEFAULTS))
    early = Spread.of(now for passed, _, now, _ in found if passed <= first)
    last = Spread.of(now for passed, _, now, _ in found if passed > found[-1][0] - first)
    passed, sent, _, highest = found[-1]
    note = f"{sent:,} of {rows:,} sent in {passed:.0f} s"
    stage.say(f"{note}, {early.median:.1f} MB, then {last.median:.1f} MB, {highest:.1f} MB at most")
    curve = tuple((passed, now) for passed, _, now, _ in found)
    yield Found("flat", stage.database, last, early, (note,), curve)
    yield Found("most", stage.database, Spread((highest,)), notes=(note,))
