"""Measure afilsql against its limits and its peers: one run, one table, JSON, plots.

    python -m tests.benchmarks [--quick] [--database embedded|tsql|both] [--only NAME …] [--json FILE] [--plots FOLDER]
    python -m tests.benchmarks --read FILE [--plots FOLDER] [--markdown FILE]       table and plots of a saved run

Ratios within one run are the result; the figures themselves only say which machine it was. Workers, the simulated API
and what is compared with them are processes of their own. The T-SQL engine is the first that the tests find (see the
README); without one its rows say so. Linux only: processor time and memory are read from /proc.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from tests import engines
from tests.benchmarks import (
    end_to_end,
    enqueue,
    exchange,
    growth,
    idle,
    latency,
    machine,
    memory,
    plots,
    report,
    response_time,
    scale,
    stage,
    startup,
    statements,
)
from tests.benchmarks.found import Found, Row
from tests.benchmarks.goals import EMBEDDED, GOALS, TSQL, Database
from tests.benchmarks.stage import Stage

Measure = Callable[[Stage], Iterator[Found]]

#: In the order they run: the short ones first.
BENCHMARKS: dict[str, Measure] = {
    "startup": startup.measure,
    "exchange": exchange.measure,
    "enqueue": enqueue.measure,
    "end_to_end": end_to_end.measure,
    "latency": latency.measure,
    "statements": statements.measure,
    "idle": idle.measure,
    "response_time": response_time.measure,
    "scale": scale.measure,
    "growth": growth.measure,
    "memory": memory.measure,
}
_DATABASES: dict[str, tuple[Database, ...]] = {"embedded": (EMBEDDED,), "tsql": (TSQL,), "both": (EMBEDDED, TSQL)}
OUT = Path("build") / "benchmarks"


class Run:
    """The rows of one run, as they come about.

    Args:
        names: Of the benchmarks that are to run.
        databases: On which.
        keep: Told all rows after each benchmark, so that a run that ends early has not been for nothing.
        is_stopped: Somebody has pressed Ctrl-C, to which an ODBC driver may answer with an error of its own.
    """

    def __init__(
        self,
        names: Sequence[str],
        databases: Sequence[Database],
        keep: Callable[[Sequence[Row]], None],
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._goals = [goal for goal in GOALS if goal.benchmark in names and goal.database in databases]
        self._names = [name for name in BENCHMARKS if name in names]
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
        for name in self._names:
            if not any(goal.benchmark == name and goal.database == stage.database for goal in self._goals):
                continue
            print(f"{name}:", file=sys.stderr, flush=True)
            began = time.monotonic()
            try:
                for found in BENCHMARKS[name](stage):
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
        self._missing |= {(name, database): why for name in self._names}


def main() -> int:
    """Run what is asked for; 1 when a benchmark failed, 0 otherwise, reached or not."""
    asked = _parser().parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    if asked.read is not None:
        told, rows = report.load(asked.read)
        if asked.plots is not None:
            plots.draw(rows, asked.plots)
        _show(console, told, rows, asked.markdown)
        return 0
    databases = _DATABASES[asked.database]
    with ExitStack() as stack:
        server, engine, why = None, None, ""
        if TSQL in databases:
            try:
                server = stack.enter_context(engines.server())[1]
                engine = stage.version(server)
            except engines.NoEngine as error:
                why = "no T-SQL engine"
                print(f"{why}: {error}", file=sys.stderr)
        told = machine.described(engine) | {"quick": asked.quick}
        where = asked.json or OUT / "results.json"
        run = Run(asked.only, databases, lambda rows: report.save(where, told, rows), _stopped().is_set)
        if why:
            run.without(TSQL, why)
        if EMBEDDED in databases:
            with Stage(EMBEDDED, "sqlite", quick=asked.quick) as embedded:
                run.on(embedded)
        if server is not None:
            with Stage(TSQL, server, quick=asked.quick) as tsql:
                run.on(tsql)
    report.save(where, told, run.rows)
    drawn = plots.draw(run.rows, asked.plots or OUT)
    _show(console, told, run.rows, asked.markdown)
    console.print(f"Written: {where}, {', '.join(map(str, drawn))}", soft_wrap=True)
    return int(any(row.missing == "failed" for row in run.rows))


def _stopped() -> threading.Event:
    """Return what is set once Ctrl-C was pressed; it interrupts as before."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, stop)
    return stopped


def _show(console: Console, told: dict[str, Any], rows: Sequence[Row], markdown: Path | None) -> None:
    quick = " Quick: shorter and with fewer rows than a full run." if told.get("quick") else ""
    where = f"{machine.line(told)}.{quick}"
    console.print(report.table(rows))
    for note in report.notes(rows):
        console.print(f"- {note}", markup=False)
    console.print(f"\n{where}", markup=False)
    if markdown is not None:
        markdown.write_text(f"{report.markdown(rows)}\n{where}\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME",
                        help=f"of {', '.join(BENCHMARKS)}")  # fmt: skip
    parser.add_argument("--database", choices=_DATABASES, default="both")
    parser.add_argument("--quick", action="store_true", help="some minutes in place of an hour and a half")
    parser.add_argument("--json", type=Path, help=f"file for all figures; {OUT / 'results.json'} otherwise")
    parser.add_argument("--plots", type=Path, help=f"folder for the plots; {OUT} otherwise")
    parser.add_argument("--markdown", type=Path, help="file for the table, to be shown elsewhere")
    parser.add_argument("--read", type=Path, help="a file of --json: measure nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
