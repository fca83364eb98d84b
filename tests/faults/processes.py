"""Start real processes for a test: `afilsql worker`, and the simulated API as `afilsql sandbox`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Any
from urllib.request import urlopen

from tests.patience import PATIENCE

WORKER = (sys.executable, "-m", "afilsql", "worker")


class WorkerProcess(subprocess.Popen[bytes]):
    """A worker without a terminal; it logs to a file, for a pipe that nobody reads would fill up and stop it."""

    def __init__(self, log: IO[bytes], environ: dict[str, str], command: Sequence[str] = (*WORKER, "--drain")) -> None:
        super().__init__(command, env=environ, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
        self._log = log

    def said(self) -> str:
        """Everything it logged so far."""
        # pread: the file's position is the worker's, and moving it would make it write over what it wrote before.
        return os.pread(self._log.fileno(), 10_000_000, 0).decode()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log entries of one kind, oldest first."""
        entries = [json.loads(line) for line in self.said().splitlines() if line.startswith("{") and line[-1:] == "}"]
        return [entry for entry in entries if entry["event"] == name]

    def end(self) -> None:
        """Kill it if it still runs, and forget its log."""
        self.kill()
        self.wait()
        self._log.close()


def environment(database: str, api_url: str, **settings: str) -> dict[str, str]:
    """Return the environment of a worker: nothing of the caller's settings, then these."""
    return (
        {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")}
        | {
            "AFILSQL_DATABASE_URL": database,
            "AFILSQL_API_URL": api_url,
            "AFILSQL_USER": "demo",
            "AFILSQL_PASSWORD": "demo",
            "AFILSQL_CONCURRENCY": "8",
            "AFILSQL_LOG_FORMAT": "json",
            "AFILSQL_ON_UNKNOWN": "hold",
        }
        | settings
    )


def launch(command: Sequence[str], database: str, api_url: str, **settings: str) -> WorkerProcess:
    """Start one worker; whoever starts it calls its `end`."""
    return WorkerProcess(tempfile.TemporaryFile(), environment(database, api_url, **settings), command)


@contextmanager
def workers(
    count: int, database: str, api_url: str, *, command: Sequence[str] = (*WORKER, "--drain"), **settings: str
) -> Iterator[list[WorkerProcess]]:
    """Start workers, by default `afilsql worker --drain`; none outlives the block."""
    with ExitStack() as stack:
        processes = []
        for n in range(count):
            process = launch(command, database, api_url, **{"AFILSQL_WORKER_NAME": f"worker-{n}"} | settings)
            stack.callback(process.end)
            processes.append(process)
        yield processes


def ended(process: WorkerProcess, seconds: float = PATIENCE) -> None:
    """Wait for the process; fail with what it said when it did not end well."""
    process.wait(timeout=seconds)
    assert process.returncode == 0, process.said()[-2000:]


class SandboxProcess:
    """The simulated API in a process of its own.

    Attributes:
        url: Its address.
        pid: Of the process.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.url = url
        self.pid = process.pid
        self._process = process
        self._base = url.removesuffix("/api/http/")

    def count(self) -> int:
        """How many calls were accepted."""
        return int(self._get("/health")["received"])

    def received(self) -> list[dict[str, Any]]:
        """The accepted calls, in the order they arrived."""
        found: list[dict[str, Any]] = []
        while page := self._get(f"/received?since={len(found)}&limit=5000"):
            found += page
        return found

    def _get(self, path: str) -> Any:
        with urlopen(self._base + path, timeout=PATIENCE) as answer:
            return json.load(answer)


@contextmanager
def sandbox(latency: float = 0.0) -> Iterator[SandboxProcess]:
    """Run `afilsql sandbox` with so many seconds of latency; it ends with the block."""
    command = [sys.executable, "-m", "afilsql", "sandbox", "--port", "0", "--latency", str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield SandboxProcess(process, line.split(" at ")[1].split()[0])
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
