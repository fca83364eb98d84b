"""The demo end to end: a real worker process, real sockets, an embedded database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE


def afilsql(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")}
    return subprocess.run(
        [sys.executable, "-m", "afilsql", *args],
        env={**clean, "PYTHONIOENCODING": "utf-8", **environ},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("demo") / "new folder"
    return folder, afilsql("demo", "--folder", str(folder))


def test_the_demo_ends_as_expected_and_says_where_the_database_is(demo):
    folder, done = demo
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 8 outcomes are as expected" in done.stdout
    assert str(folder / "afilsql.db") in done.stdout
    assert "Traceback" not in done.stderr


def test_its_database_tells_what_happened(demo):
    folder, _ = demo
    listed = afilsql("list", "--json", AFILSQL_DATABASE_URL=f"sqlite:///{folder}/afilsql.db")
    items = json.loads(listed.stdout)
    assert sorted(i["status"] for i in items) == ["failed", *["sent"] * 7]
    assert [i["error_code"] for i in items if i["status"] == "failed"] == ["CHANNEL_NOT_FOUND"]
    (faulty,) = (i for i in items if "503" in i.get("message", ""))
    assert len(faulty["history"]) >= 2


def test_a_database_with_waiting_requests_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/real.db"
    assert afilsql("channels", AFILSQL_DATABASE_URL=url).stdout == "1\n"
    done = afilsql("demo", "--url", url)
    assert done.returncode == 2
    assert "not in use" in done.stderr
    assert json.loads(afilsql("show", "1", "--json", AFILSQL_DATABASE_URL=url).stdout)["status"] == "queued"
