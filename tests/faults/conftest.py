"""The outboxes that faults are tried on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from afilsql import deploy
from tests import engines
from tests.faults.traffic import emptied


@pytest.fixture(scope="session")
def faulty_tsql_url(tsql_server: str) -> Iterator[str]:
    """URL of a migrated database that no other suite writes to, made once: migrating is what takes long."""
    with engines.database(tsql_server) as url:
        deploy.migrate(url)
        yield url


@pytest.fixture
def empty_tsql(faulty_tsql_url: str) -> str:
    """URL of an empty outbox on the T-SQL engine."""
    emptied(faulty_tsql_url)
    return faulty_tsql_url


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
