"""Start real `afilsql worker --drain` processes for a test."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO


class WorkerProcess(subprocess.Popen[bytes]):
    """A worker; it logs to a file, for a pipe that nobody reads would fill up and stop it."""

    def __init__(self, log: IO[bytes], environ: dict[str, str]) -> None:
        command = [sys.executable, "-m", "afilsql", "worker", "--drain"]
        super().__init__(command, env=environ, stdout=subprocess.DEVNULL, stderr=log)
        self._log = log

    def said(self) -> str:
        """Everything it logged so far."""
        self._log.seek(0)
        return self._log.read().decode()


def environment(database: str, api_url: str, **settings: str) -> dict[str, str]:
    """Return the environment of a worker on this database and API."""
    return (
        {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")}
        | {
            "AFILSQL_DATABASE_URL": database,
            "AFILSQL_API_URL": api_url,
            "AFILSQL_USER": "demo",
            "AFILSQL_PASSWORD": "demo",
            "AFILSQL_CONCURRENCY": "8",
            "AFILSQL_LOG_FORMAT": "json",
        }
        | settings
    )


@contextmanager
def workers(count: int, database: str, api_url: str, **settings: str) -> Iterator[list[WorkerProcess]]:
    """Start `afilsql worker --drain` processes; none outlives the block."""
    environ = environment(database, api_url)
    with ExitStack() as stack:
        logs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
        processes = [
            WorkerProcess(log, environ | {"AFILSQL_WORKER_NAME": f"worker-{n}"} | settings)
            for n, log in enumerate(logs)
        ]
        try:
            yield processes
        finally:
            for process in processes:
                process.kill()
                process.wait()


def ended(process: WorkerProcess, seconds: float = 40) -> None:
    """Wait for the process; fail with what it said when it did not end well."""
    process.wait(timeout=seconds)
    assert process.returncode == 0, process.said()[-2000:]
