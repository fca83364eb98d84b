"""One run: each benchmark on each kind of database, and the rows that come of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.benchmarks.found import Found, Row
from tests.benchmarks.goals import GOALS, Database
from tests.benchmarks.stage import Stage

Measure = Callable[[Stage], Iterator[Found]]


class Run:
    """The rows of one run, as they come about.

    Args:
        benchmarks: What is to be measured, by name, in this order.
        databases: On which kinds.
        keep: Told all rows after each benchmark, so that a run that ends early has not been for nothing.
        is_stopped: Somebody has pressed Ctrl-C, to which an ODBC driver may answer with an error of its own.
    """

    def __init__(
        self,
        benchmarks: Mapping[str, Measure],
        databases: Sequence[Database],
        keep: Callable[[Sequence[Row]], None],
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._goals = [goal for goal in GOALS if goal.benchmark in benchmarks and goal.database in databases]
        self._benchmarks = benchmarks
        self._found: dict[tuple[str, str, Database], Found] = {}
        self._missing: dict[tuple[str, Database], str] = {}
        self._keep = keep
        self._is_stopped = is_stopped

    @property
    def rows(self) -> list[Row]:
        """In the order of the table."""
        rows = []
        for goal in self._goals:
            found = self._found.get((goal.benchmark, goal.name, goal.database))
            missing = self._missing.get((goal.benchmark, goal.database), "not measured")
            rows.append(Row(goal, found, "" if found else missing))
        return rows

    def on(self, stage: Stage) -> None:
        """Run all there is for one kind of database; one that fails leaves its rows empty and says why."""
        for name, measure in self._benchmarks.items():
            if not any(goal.benchmark == name and goal.database == stage.database for goal in self._goals):
                continue
            print(f"{name}:", file=sys.stderr, flush=True)
            began = time.monotonic()
            try:
                for found in measure(stage):
                    self._found[name, found.name, found.database] = found
            except Exception as error:
                if self._is_stopped():
                    raise KeyboardInterrupt from error
                self._missing[name, stage.database] = "failed"
                print(f"  {stage.database}: failed, {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            stage.say(f"{time.monotonic() - began:.0f} s")
            self._keep(self.rows)

    def without(self, database: Database, why: str) -> None:
        """Say why nothing is measured on a kind of database."""
        self._missing |= {(name, database): why for name in self._benchmarks}
