"""afil.my_items: the requests of whoever asks, and of nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.rows import add

pytestmark = pytest.mark.tsql


def test_it_shows_ones_own_requests_and_none_of_others(query: Any) -> None:
    query("EXEC afil.get_chat_channels")
    add(query, created_by="somebody else")
    login = query("SELECT SUSER_SNAME()")[0][0]
    assert [r.created_by for r in query("SELECT * FROM afil.my_items")] == [login]


def test_it_has_the_columns_of_all_items(query: Any) -> None:
    mine, all_ = (query(f"SELECT * FROM afil.{v}; ") for v in ("my_items", "all_items"))
    assert mine == all_ == []
    columns = [
        [r[0] for r in query("SELECT name FROM sys.columns WHERE object_id = OBJECT_ID(?) ORDER BY column_id", v)]
        for v in ("afil.my_items", "afil.all_items")
    ]
    assert columns[0] == columns[1] != []
