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
from collections.abc import Sequence
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
from tests.benchmarks.found import Row
from tests.benchmarks.goals import EMBEDDED, TSQL, Database
from tests.benchmarks.run import Measure, Run
from tests.benchmarks.stage import Stage

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
        chosen = {name: measure for name, measure in BENCHMARKS.items() if name in asked.only}
        run = Run(chosen, databases, lambda rows: report.save(where, told, rows), _stopped().is_set)
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
    parser.add_argument("--quick", action="store_true", help="shorter, and with fewer rows: minutes")
    parser.add_argument("--json", type=Path, help=f"file for all figures; {OUT / 'results.json'} otherwise")
    parser.add_argument("--plots", type=Path, help=f"folder for the plots; {OUT} otherwise")
    parser.add_argument("--markdown", type=Path, help="file for the table, to be shown elsewhere")
    parser.add_argument("--read", type=Path, help="a file of --json: measure nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
