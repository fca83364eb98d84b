"""How long a command takes to start, against importing the two libraries it cannot do without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks.found import Found
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage
from tests.faults.processes import environment

_IMPORT = (sys.executable, "-c", "import requests, sqlalchemy")


def measure(stage: Stage) -> Iterator[Found]:
    """The commands and the import, in turn, as processes of their own; what they write goes nowhere."""
    script = Path(sys.executable).with_name("afilsql")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "afilsql"]
    with stage.fresh() as url:
        environ = environment(url, "http://127.0.0.1:9/")
        named: dict[str, Sequence[str]] = {
            "import": _IMPORT,
            "help": [*command, "--help"],
            "status": [*command, "status"],
        }
        for words in named.values():
            _run(words, environ)  # the first one compiles and fills the system's cache
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in named}
        for _ in range(stage.pick(20, 10)):
            for name, words in named.items():
                times[name].append(_run(words, environ))
    walls, busy = ({name: Spread.of(t[n] for t in found) for name, found in times.items()} for n in range(2))
    for name in ("help", "status"):
        note = (
            f"processor {busy[name].median:.2f} s against {busy['import'].median:.2f} s, "
            f"{busy[name].over(busy['import']):.2f} ×"
        )
        stage.say(f"{name}: {walls[name].median:.2f} s against {walls['import'].median:.2f} s; {note}")
        yield Found(name, stage.database, walls[name], walls["import"], (note,))


def _run(words: Sequence[str], environ: dict[str, str]) -> tuple[float, float]:
    """Return the seconds and the processor seconds that a command takes."""
    began = time.perf_counter()
    process = subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, code, used = os.wait4(process.pid, 0)
    passed = time.perf_counter() - began
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}: {said.decode()[-500:]}")
    return passed, used.ru_utime + used.ru_stime
