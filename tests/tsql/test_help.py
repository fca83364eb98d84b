"""afil.help: every object that a role may use, with an example."""

from __future__ import annotations

from typing import Any

import pytest

from afilsql.sqlfiles import KINDS, sql_objects
from tests.tsql.conftest import DriverError

pytestmark = pytest.mark.tsql

OBJECTS = [o for o in sql_objects() if not o.requires_sqlserver]


def test_it_lists_every_object_that_a_role_may_use_with_an_example(query: Any) -> None:
    want = {(o.name, KINDS[o.kind].lower(), ", ".join(o.roles), o.summary, o.example) for o in OBJECTS if o.roles}
    got = [tuple(r) for r in query("EXEC afil.help")]
    assert set(got) == want
    assert len(got) == len(want)
    assert all(f"afil.{r[0]}" in r[4] for r in got)


@pytest.mark.parametrize("name", ["send_message", "afil.send_message"])
def test_with_a_name_it_shows_the_whole_header(query: Any, name: str) -> None:
    header = next(o.header for o in OBJECTS if o.name == "send_message")
    assert [tuple(r) for r in query("EXEC afil.help @name = ?", name)] == [("send_message", header)]


@pytest.mark.parametrize("name", ["send_mesage", "", "outbox", "dbo.send_message"])
def test_an_unknown_name_is_refused_with_where_the_names_are(query: Any, name: str) -> None:
    with pytest.raises(DriverError, match=r"is not one of afilsql's objects: EXEC afil.help; lists them.*51001"):
        query("EXEC afil.help @name = ?", name)
