"""Fixtures that every suite shares: the T-SQL engine, started once, and a fresh database on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from afilsql import deploy
from afilsql.outbox.engine import create_engine
from tests import engines
from tests.emptying import empty

#: The same examples in every run; AFILSQL_TEST_EXAMPLES=20000 looks for new ones where a test sets no number.
_EXAMPLES = os.environ.get("AFILSQL_TEST_EXAMPLES")
hypothesis.settings.register_profile(
    "afilsql", max_examples=int(_EXAMPLES or 100), derandomize=_EXAMPLES is None, deadline=None
)
hypothesis.settings.load_profile("afilsql")

_SKIPPED: list[str] = []
_ONLY_SQL_SERVER: list[str] = []
_ENGINE: list[str] = []


@pytest.fixture(autouse=True, scope="session")
def no_settings_of_the_caller() -> None:
    """Settings of the person who runs the tests must not reach them."""
    for name in list(os.environ):
        if name.startswith("AFILSQL_") and not name.startswith("AFILSQL_TEST_"):
            del os.environ[name]


@pytest.fixture(scope="session")
def tsql_server() -> Iterator[str]:
    """URL of the T-SQL server; skips where there is none."""
    try:
        with engines.server() as (name, url):
            _ENGINE.append(name)
            yield url
    except engines.NoEngine as e:
        _ENGINE.append(f"none: {e}")
        pytest.skip(f"no T-SQL engine: {e}")


@pytest.fixture(scope="session")
def tsql_url(tsql_server: str) -> Iterator[str]:
    """URL of a migrated database that lives as long as the run: migrating is what takes long."""
    with engines.database(tsql_server) as url:
        deploy.migrate(url)
        yield url


@pytest.fixture(scope="session")
def tsql_connection(tsql_url: str) -> Iterator[Any]:
    """One connection of the driver's own to that database, in autocommit: a procedure's first run is the slow one."""
    engine = create_engine(tsql_url, autocommit=True)
    raw = engine.raw_connection()
    yield raw.driver_connection
    raw.close()
    engine.dispose()


@pytest.fixture
def empty_tsql(tsql_url: str, tsql_connection: Any) -> str:
    """URL of an empty outbox on the T-SQL engine."""
    empty(tsql_connection.cursor())
    return tsql_url


@pytest.fixture
def new_tsql_url(tsql_server: str) -> Iterator[str]:
    """URL of an empty database of the test's own."""
    with engines.database(tsql_server) as url:
        yield url


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and "no T-SQL engine" in str(report.longrepr):
        _SKIPPED.append(report.nodeid)
    elif report.skipped and "Babelfish" in str(report.longrepr):
        _ONLY_SQL_SERVER.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that prints the summary which engine this one used."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["engine"] = _ENGINE[-1] if _ENGINE else None


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if found := getattr(node, "workeroutput", {}).get("engine"):
        _ENGINE.append(found)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _SKIPPED:
        terminalreporter.write_line(
            f"NOT PROVEN HERE: {len(_SKIPPED)} tests need a T-SQL engine and were skipped. {''.join(_ENGINE[-1:])}",
            red=True,
        )
    elif _ENGINE:
        terminalreporter.write_line(f"T-SQL engine: {_ENGINE[-1]}")
    if _ONLY_SQL_SERVER:
        terminalreporter.write_line(
            f"NOT PROVEN HERE: {len(_ONLY_SQL_SERVER)} tests need SQL Server itself and were skipped.", red=True
        )
