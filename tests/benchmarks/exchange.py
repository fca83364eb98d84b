"""The exchange by itself, without HTTP: 200 results in, 200 rows out, against a script that goes row by row."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from afilsql.outbox import open_outbox
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import Claim, Result
from tests.benchmarks.filling import fill
from tests.benchmarks.found import Found
from tests.benchmarks.goals import EMBEDDED
from tests.benchmarks.report import number
from tests.benchmarks.script import plain_script, script
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage

BATCH = 200
#: Rows of the script that waits for the disk.
_PLAIN = 100
_ANSWER = '{"status": "SUCCESS", "result": {}}'


class Pump:
    """Exchanges as a worker would whose calls take no time.

    Args:
        outbox: Whose rows go round.
        batch: Results in and rows out of each exchange.
    """

    def __init__(self, outbox: Outbox, batch: int) -> None:
        self._outbox = outbox
        self._batch = batch
        self._claims: Sequence[Claim] = ()

    @property
    def full(self) -> bool:
        """True when the last exchange brought as many rows as it asked for."""
        return len(self._claims) == self._batch

    def turn(self, *, strict: bool = True) -> float:
        """Exchange once; return the seconds it took.

        Raises:
            RuntimeError: Fewer rows came than asked for, which only `strict` minds.
        """
        now = datetime.now(UTC)
        results = [
            Result(c.id, c.lease_id, c.attempt, "sent", now, 5, 200, body=_ANSWER, healthy=True) for c in self._claims
        ]
        began = time.perf_counter()
        self._claims = self._outbox.exchange(
            "benchmark", results=results, take=self._batch, on_unknown="reconcile"
        ).claims
        passed = time.perf_counter() - began
        if strict and not self.full:
            raise RuntimeError(f"an exchange brought {len(self._claims)} rows of {self._batch}")
        return passed


def measure(stage: Stage) -> Iterator[Found]:
    """Each on a database of its own, in turn, after a few turns to get warm."""
    rounds, turns, alone, warm = stage.pick((5, 20, 400, 5), (3, 10, 200, 3))
    product, scripts = list[float](), list[float]()
    with stage.fresh() as ours, stage.fresh() as theirs:
        fill(ours, rows := BATCH * (warm + rounds * turns), chats=rows)
        fill(theirs, rows := alone * (1 + rounds), chats=rows)
        with open_outbox(ours) as outbox, script(theirs) as loop:
            pump = Pump(outbox, BATCH)
            for _ in range(warm):
                pump.turn()
            loop.exchange(alone)
            for n in range(rounds):
                product.append(BATCH * turns / sum(pump.turn() for _ in range(turns)))
                scripts.append(loop.exchange(alone))
                stage.say(f"round {n + 1}: {product[-1]:,.0f} rows/s, script {scripts[-1]:,.0f}")
        notes = ["a row counts when it has come and its result has gone back"]
        if stage.database == EMBEDDED:
            with stage.fresh() as url, plain_script(url) as loop:
                fill(url, 2 * _PLAIN, chats=2 * _PLAIN)
                plain = Spread.of(loop.exchange(_PLAIN) for _ in range(2))
            made = number(plain.median)
            notes.append(f"where each commit waits for the disk, as Python's sqlite3 has it, the script makes {made}")
    yield Found("script", stage.database, Spread.of(product), Spread.of(scripts), tuple(notes))
    yield Found("rate", stage.database, Spread.of(product))
