"""What the operators' page asks of a database: no more than its rights and its indexes allow."""

from __future__ import annotations

import inspect
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from afilsql import deploy
from afilsql.outbox import browse_sqlite, browse_sqlserver
from afilsql.outbox.browse import Browser
from afilsql.outbox.browse_sqlserver import SqlServerBrowser
from afilsql.outbox.sqlserver import SqlServerOutbox
from afilsql.sqlfiles import sql_objects

READS = {"overview", "finished_since", "find", "get", "conversation", "account_names"}
ACTS = {"requeue", "cancel", "resolve", "pause", "resume", "release_account"}
ROLES = {o.name: o.roles for o in sql_objects()}


def sources() -> dict[str, str]:
    """The code of each method of a Browser on SQL Server; the statements of `finished_since` stand beside them."""
    names = READS | ACTS
    found = {name: inspect.getsource(getattr(SqlServerBrowser, name)) for name in names}
    module = inspect.getsource(browse_sqlserver)
    return found | {"module": module.split("class SqlServerBrowser")[0]}


def objects_in(text: str) -> set[str]:
    return {name for name in re.findall(r"(?<=[ \"(])afil\.(\w+)", text) if name in ROLES}


def test_the_page_knows_nothing_but_what_reads_and_what_acts() -> None:
    public = {n for n in vars(Browser) if not n.startswith("_")} - {"close"}
    assert public == READS | ACTS


@pytest.mark.parametrize("name", sorted((READS | {"module"}) - {"finished_since"}))
def test_looking_takes_the_rights_of_a_reader(name: str) -> None:
    used = objects_in(sources()[name])
    assert used, "a method that asks nothing proves nothing"
    assert all("afil_reader" in ROLES[o] for o in used), used


@pytest.mark.parametrize("name", sorted(ACTS))
def test_acting_takes_the_rights_of_an_operator(name: str) -> None:
    used = objects_in(sources()[name])
    assert used and all("afil_operator" in ROLES[o] for o in used), used


def test_no_table_is_named() -> None:
    text = inspect.getsource(browse_sqlserver) + inspect.getsource(SqlServerOutbox.get)
    tables = {"outbox", "attempt", "response", "account", "worker", "setting", "event_log", "subscription"}
    assert not tables & set(re.findall(r"(?:FROM|JOIN|INTO|UPDATE) afil\.(\w+)", text))


@pytest.mark.parametrize("status", [None, *browse_sqlite.INDEXED])
def test_the_overview_reads_no_more_of_the_outbox_than_its_filtered_indexes(tmp_path: Path, status: str | None) -> None:
    path = tmp_path / "outbox.db"
    deploy.migrate(f"sqlite:///{path.as_posix()}")
    asked = {
        browse_sqlite.DEPTHS: (),
        browse_sqlite.CODES: ("2026-01-01", 1),
        browse_sqlite.FINISHED: ("2026-01-01",),
    }
    if status is not None:
        asked = {browse_sqlite.INDEXED[status]: ()}
    with closing(sqlite3.connect(path)) as connection:
        for sql, values in asked.items():
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            of_outbox = [step for step in plan if re.match(r"(SCAN|SEARCH) (outbox|o)\b", step)]
            assert of_outbox, plan
            for step in of_outbox:
                index = re.search(r"INDEX ix_outbox_(queued|scheduled|sending|finished|check)", step)
                assert index, f"{step} reads rows that are done"
                if index[1] == "finished":
                    assert step.startswith("SEARCH") and "status=?" in step, f"{step} reads all that is done"
