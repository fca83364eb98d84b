"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ("afilsql", "requests", "urllib3", "sqlalchemy", "pyodbc", "uvicorn", "starlette")


def described(engine: str | None) -> dict[str, Any]:
    """Return what is to be known of this machine and its programs.

    Args:
        engine: What the T-SQL engine says it is, None where there is none.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "engine": engine,
        "packages": {name: version(name) for name in _PACKAGES},
    }


def line(machine: dict[str, Any]) -> str:
    """Return it in a line or two."""
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB, {machine['system']}, "
        f"load before {machine['load_before']}, {machine['date']}; Python {machine['python']}, "
        f"SQLite {machine['sqlite']}, T-SQL engine: {machine['engine'] or 'none'}; {packages}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or "unknown"
