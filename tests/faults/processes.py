"""Start real `afilsql worker --drain` processes for a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def workers(count: int, database: str, api_url: str, **settings: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Start `afilsql worker --drain` processes; none outlives the block."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")} | {
        "AFILSQL_DATABASE_URL": database,
        "AFILSQL_API_URL": api_url,
        "AFILSQL_USER": "demo",
        "AFILSQL_PASSWORD": "demo",
        "AFILSQL_CONCURRENCY": "8",
        "AFILSQL_LOG_FORMAT": "json",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "afilsql", "worker", "--drain"],
            env=environ | {"AFILSQL_WORKER_NAME": f"worker-{n}"} | settings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


def ended(process: subprocess.Popen[str], seconds: float = 40) -> int:
    """Wait for the process; fail with what it said when it did not end well."""
    _, said = process.communicate(timeout=seconds)
    assert process.returncode == 0, said[-2000:]
    return process.returncode
