"""The outboxes that faults are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest

from afilsql import deploy


@pytest.fixture
def empty_sqlite(tmp_path: Path) -> str:
    """URL of an empty embedded outbox."""
    url = f"sqlite:///{(tmp_path / 'outbox.db').as_posix()}"
    deploy.migrate(url)
    return url


@pytest.fixture(params=["sqlite", pytest.param("tsql", marks=pytest.mark.tsql)])
def empty_outbox(request: pytest.FixtureRequest) -> str:
    """URL of an empty outbox, on each engine."""
    url: str = request.getfixturevalue(f"empty_{request.param}")
    return url
