"""The tour, against the T-SQL engine instead of the embedded default."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.tsql


def test_the_demo_passes_on_a_t_sql_engine(new_tsql_url: str) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")}
    done = subprocess.run(
        [sys.executable, "-m", "afilsql", "demo", "--url", new_tsql_url], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 8 outcomes are as expected" in done.stdout
