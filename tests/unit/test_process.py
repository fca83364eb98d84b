"""Core dumps hold a process's memory, passwords in it: a worker makes none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seen through /proc and prctl")

SCRIPT = """
import ctypes, resource
from afilsql.process import forbid_core_dumps
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
forbid_core_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def test_a_process_that_forbids_core_dumps_has_none_and_is_not_dumpable() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(0, 0) 0"


def test_a_worker_process_forbids_core_dumps(tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")} | {
        "AFILSQL_DATABASE_URL": f"sqlite:///{tmp_path / 'a.db'}",
        "AFILSQL_USER": "ana",
        "AFILSQL_PASSWORD": "x",
    }
    worker = subprocess.Popen([sys.executable, "-m", "afilsql", "worker"], env=environ, stderr=subprocess.PIPE)
    try:
        assert worker.stderr is not None
        assert b"worker_started" in worker.stderr.readline()
        limits = Path(f"/proc/{worker.pid}/limits").read_text()
        (core,) = (line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core == ["0", "0"]
    finally:
        worker.terminate()
        worker.communicate(timeout=PATIENCE)
        assert worker.returncode == 0
