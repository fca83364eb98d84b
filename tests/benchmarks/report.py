"""The table that a run prints, and the JSON it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.benchmarks.found import Found, Row
from tests.benchmarks.goals import GOALS
from tests.benchmarks.spread import Spread

#: Wide enough that no cell of the Markdown table is broken.
_UNBROKEN = 300


def number(value: float) -> str:
    """Return a figure with three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def spread(found: Spread | None) -> str:
    """Return a median and, where there is more than one value, the lowest and the highest."""
    if found is None:
        return ""
    if len(found.values) == 1:
        return number(found.median)
    return f"{number(found.median)} ({number(found.lowest)}–{number(found.highest)})"


def table(rows: Sequence[Row]) -> Table:
    """Return the table; as wide as whatever prints it, and Markdown where no cell has to be broken."""
    made = Table(box=MARKDOWN, pad_edge=True)
    for heading in ("what", "outbox", "measured", "against", "ratio", "to reach", "reached"):
        made.add_column(heading, justify="right" if heading in ("ratio", "to reach") else "left")
    for row in rows:
        goal, found = row.goal, row.found
        against = " ".join(filter(None, (goal.against, spread(found.against) if found else "")))
        reached = {True: "yes", False: "no", None: row.missing}[row.reached]
        ratio = "" if found is None or found.against is None else f"{found.figure:.{max(2, goal.decimals)}f}"
        bound = goal.to_reach + (" ×" if goal.against else "")
        cells = (goal.what, goal.database, spread(found.measured) if found else "", against, ratio, bound, reached)
        made.add_row(*map(Text, cells))
    return made


def notes(rows: Sequence[Row]) -> list[str]:
    """Return what else is to be known, a line for each row that has something; rows that say the same share one."""
    by_note: dict[str, list[str]] = {}
    for row in rows:
        if row.found is not None and row.found.notes:
            whose = by_note.setdefault("; ".join(row.found.notes), [])
            whose.append(f"{row.goal.what.partition(':')[0]} ({row.goal.database})")
    return [f"{', '.join(dict.fromkeys(whose))}: {note}" for note, whose in by_note.items()]


def markdown(rows: Sequence[Row]) -> str:
    """Return the table and its notes as Markdown."""
    console = Console(width=_UNBROKEN, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table(rows))
    lines = [line.rstrip() for line in captured.get().strip().splitlines()]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(rows))]) + "\n"


def document(machine: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """Return everything a run knows, as JSON can hold it."""
    return {"machine": dict(machine), "rows": [_row(row) for row in rows]}


def save(path: Path, machine: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write it to a file, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(machine, rows), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """Return the machine and the rows of a run that was saved; rows that are no goals any more are left out."""
    told = json.loads(path.read_text(encoding="utf-8"))
    goals = {(goal.benchmark, goal.name, goal.database): goal for goal in GOALS}
    rows = []
    for row in told["rows"]:
        goal = goals.get((row["benchmark"], row["name"], row["outbox"]))
        if goal is None:
            continue
        found = None
        if row["measured"] is not None:
            against = None if row["compared"] is None else Spread.of(row["compared"]["values"])
            curve = tuple((float(x), float(y)) for x, y in row["curve"])
            measured = Spread.of(row["measured"]["values"])
            found = Found(goal.name, goal.database, measured, against, tuple(row["notes"]), curve)
        rows.append(Row(goal, found, row["missing"]))
    return told["machine"], rows


def _row(row: Row) -> dict[str, Any]:
    goal, found = row.goal, row.found
    return {
        "benchmark": goal.benchmark,
        "name": goal.name,
        "what": goal.what,
        "outbox": goal.database,
        "against": goal.against,
        "measured": _spread(found.measured) if found else None,
        "compared": _spread(found.against) if found and found.against else None,
        "figure": found.figure if found else None,
        "to_reach": goal.to_reach,
        "reached": row.reached,
        "missing": row.missing,
        "notes": list(found.notes) if found else [],
        "curve": [list(point) for point in found.curve] if found else [],
    }


def _spread(found: Spread) -> dict[str, Any]:
    return {
        "median": found.median,
        "lowest": found.lowest,
        "highest": found.highest,
        "values": list(found.values),
    }
