"""The README's Python runs as it stands, each block a program of its own, and prints what it says.

The blocks run in the order of the README, in one folder, on an embedded outbox with a worker and the sandbox beside it.
What a line prints is written behind it, or in comments at the end of the block.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from afilsql import deploy
from afilsql.outbox import open_outbox
from afilsql.outbox.records import Account
from tests.faults.processes import WORKER, environment, sandbox, workers

README = Path(__file__).parents[2] / "README.md"
#: Where the README has its sandbox.
ADDRESS = "http://127.0.0.1:8088/api/http/"


def blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def expected(block: str) -> list[str]:
    """What a block says that it prints: behind its calls of print, then at its end."""
    lines = block.rstrip().splitlines()
    calls = {
        node.end_lineno
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }
    behind = [line.rpartition("  # ")[2] for n, line in enumerate(lines, start=1) if n in calls and "  # " in line]
    end = next(n for n in range(len(lines), -1, -1) if n == 0 or not lines[n - 1].startswith("# "))
    return behind + [line.removeprefix("# ") for line in lines[end:]]


def test_what_a_block_prints_is_read_off_its_comments() -> None:
    block = 'x = 1  # not printed\nprint(x)  # 1\nfor y in "ab":\n    print(y)\nprint("  # x")  # y\n# a\n# b\n'
    assert expected(block) == ["1", "y", "a", "b"]
    assert blocks(f"text\n```python\n{block}```\n```sql\nSELECT 1\n```\n") == [block]


def test_every_example_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    database = f"sqlite:///{(tmp_path / 'afilsql.db').as_posix()}"
    deploy.migrate(database)
    with sandbox() as api, workers(1, database, api.url, command=WORKER) as (worker,):
        with open_outbox(database) as outbox:
            outbox.announce([Account("default")])  # the worker does so too, but may not have yet
        for number, block in enumerate(blocks(README.read_text(encoding="utf-8")), start=1):
            file = tmp_path / f"block_{number}.py"
            file.write_text(block.replace(ADDRESS, api.url), encoding="utf-8")
            done = subprocess.run(
                [sys.executable, "-X", "utf8", "-W", "error", str(file)],
                cwd=tmp_path,
                env=environment(database, api.url, PYTHONPATH=":".join(sys.path)),
                capture_output=True,
                encoding="utf-8",
                timeout=120,
            )
            assert done.returncode == 0, f"block {number}: {done.stderr[-2000:]} {worker.said()[-2000:]}"
            assert done.stdout.splitlines() == expected(block), f"block {number}"


def test_every_example_is_correct_to_a_strict_type_checker(tmp_path: Path) -> None:
    files = []
    for number, block in enumerate(blocks(README.read_text(encoding="utf-8")), start=1):
        files.append(tmp_path / f"block_{number}.py")
        files[-1].write_text(block, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *map(str, files)]
    done = subprocess.run(command, cwd=README.parent, capture_output=True, text=True, timeout=300) if files else None
    assert done is None or done.returncode == 0, done.stdout
