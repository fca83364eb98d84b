"""Processor time of processes, as Linux counts it. Elsewhere there is none."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
#: Names of a T-SQL engine's processes.
_ENGINES = ("postgres", "sqlservr")


def seconds(pid: int) -> float:
    """Return the processor seconds of a process and of those of its children that have ended; 0.0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in text.rpartition(")")[2].split()[11:15]) / _TICKS


def engine_seconds() -> float:
    """Return those of all T-SQL engines on this machine, whoever uses them."""
    return sum(seconds(pid) for pid in _engines())


def _engines() -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "comm").read_text().strip()
        except OSError:
            continue
        if name in _ENGINES:
            found.append(int(folder.name))
    return found
