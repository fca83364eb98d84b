"""Operating procedures inside a transaction of the caller's, as their headers say."""

from __future__ import annotations

from typing import Any

import pytest

from afilsql.sqlfiles import sql_objects
from tests.tsql.conftest import DriverError
from tests.tsql.rows import add, events, one

pytestmark = pytest.mark.tsql

#: A call that works and one that is refused.
CALLS = {
    "pause": ("@account = N'shop'", "@account = N''"),
    "resume": ("", "@account = N''"),
    "release_account": ("@account = N'shop'", "@account = N''"),
    "forget_account": ("@account = N'shop'", "@account = N''"),
    "requeue": ("@ids = N'[1]'", "@ids = N'x'"),
    "cancel": ("@account = N'shop'", "@ids = N'x'"),
    "resolve": ("@id = {uncertain}, @outcome = 'arrived'", "@id = 0, @outcome = 'arrived'"),
    "purge": ("@status = 'sent', @older_than_days = 0", "@status = 'queued', @older_than_days = 0"),
    "configure": ("@name = N'max_attempts', @value = 3", "@name = N'max_attempts', @value = 0"),
}


def test_every_header_that_speaks_of_it_is_tested_here() -> None:
    assert {o.name for o in sql_objects() if "Inside a caller's transaction it is part of that" in o.header} == set(
        CALLS
    )


@pytest.mark.parametrize("procedure", CALLS)
def test_a_call_that_works_leaves_the_transaction_open_and_a_refused_one_ends_it(query: Any, procedure: str) -> None:
    uncertain = add(query, "uncertain")
    query('EXEC afil.announce @accounts = N\'[{"name": "shop"}]\'')
    good, bad = (f"EXEC afil.{procedure} {p.format(uncertain=uncertain)};" for p in CALLS[procedure])
    query(f"BEGIN TRANSACTION; {good}")
    assert query("SELECT @@TRANCOUNT")[0][0] == 1
    with pytest.raises(DriverError, match=r"5100[12]"):
        query(bad)
    assert query("SELECT @@TRANCOUNT")[0][0] == 0
    assert one(query, uncertain).status == "uncertain"
    assert query("SELECT value FROM afil.setting WHERE name = 'max_attempts'")[0][0] == "8"
    assert events(query) == []
