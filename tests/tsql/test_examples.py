"""The example in every header of sql/ runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from afilsql import deploy
from afilsql.outbox.engine import create_engine

pytestmark = pytest.mark.tsql

FILES = [p for p in sorted(deploy.data_folder("sql").rglob("*.sql")) if p.parent.name != "grants"]


def example(path: Path) -> str:
    """The paragraph of the header that starts with EXEC or SELECT, up to its semicolon."""
    found = re.search(r"^(?:EXEC|SELECT) .*?;$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found, f"{path.name} has no example"
    return found[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_example_in_the_header_runs(tsql_url: str, path: Path) -> None:
    text = example(path)
    assert f"afil.{path.stem}" in text
    engine = create_engine(tsql_url, autocommit=True)  # a connection of its own, as a DBA's
    with engine.connect() as connection:
        connection.exec_driver_sql(text)
    engine.dispose()
