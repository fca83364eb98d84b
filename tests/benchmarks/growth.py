"""What an exchange takes when the tables have grown: a million finished rows, a million that wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

from afilsql.outbox import open_outbox
from tests.benchmarks.exchange import Pump
from tests.benchmarks.filling import fill
from tests.benchmarks.found import Found
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage
from tests.benchmarks.throughput import CONCURRENCY

SMALL = 10_000
#: Full exchanges before counting begins, and how many may bring fewer rows: those that move a giant out of the way.
_WARM, _SHORT = 5, 5000


def measure(stage: Stage) -> Iterator[Found]:
    """A small database and a large one, in turn; an exchange brings back and takes as many rows as a worker's."""
    large = stage.pick(1_000_000, 200_000)
    giant = large // 10
    note = (f"{large:,} rows",) if stage.quick else ()
    with ExitStack() as stack:
        few, many = (stack.enter_context(stage.fresh()) for _ in range(2))
        for url, rows in ((few, SMALL), (many, large)):
            fill(url, rows, chats=rows // 2, finished=True)
            fill(url, SMALL, chats=SMALL)
        yield _compare(stage, "finished", few, many, note)
    with ExitStack() as stack:
        few, many = (stack.enter_context(stage.fresh()) for _ in range(2))
        fill(few, SMALL, chats=SMALL // 2)
        fill(many, large, chats=(large - giant) // 2, giant=giant)
        told = f"one conversation of {giant:,} stands first among them, the others have two each"
        yield _compare(stage, "waiting", few, many, (*note, told))


def _compare(stage: Stage, name: str, few: str, many: str, notes: tuple[str, ...]) -> Found:
    turns, rounds = 10, stage.pick(15, 5)
    times: tuple[list[float], list[float]] = ([], [])
    with open_outbox(few) as small, open_outbox(many) as large:
        pumps = [Pump(outbox, CONCURRENCY) for outbox in (small, large)]
        warm = [_warmed(pump) for pump in pumps]
        for _ in range(rounds):
            for pump, found in zip(pumps, times, strict=True):
                found.append(1000 * median(pump.turn() for _ in range(turns)))
    stage.say(f"{name}: {median(times[0]):.2f} ms and {median(times[1]):.2f} ms")
    slowest = [f"{1000 * max(took):.0f} ms" for took, _ in warm]
    told = f"first exchanges took up to {slowest[0]} with few rows, {slowest[1]} with many"
    if short := warm[1][1]:
        told += f", of which {short} brought fewer rows than asked for"
    return Found(name, stage.database, Spread.of(times[1]), Spread.of(times[0]), (*notes, told))


def _warmed(pump: Pump) -> tuple[list[float], int]:
    """Exchange until the next one is like any other: return the seconds of each, and how many were short of rows."""
    took, short = list[float](), 0
    while len(took) < short + _WARM:
        took.append(pump.turn(strict=False))
        short += not pump.full
        if short > _SHORT:
            raise RuntimeError(f"{short} exchanges brought fewer rows than asked for")
    return took, short
