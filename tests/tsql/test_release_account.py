"""afil.release_account: an account held by a worker or an operator sends again."""

from __future__ import annotations

from typing import Any

import pytest

from afilsql.errors import InvalidParameter
from afilsql.outbox import open_outbox
from tests.tsql.conftest import DriverError
from tests.tsql.rows import add, events, hand_in, one, sent_order, take

pytestmark = pytest.mark.tsql


def test_an_account_held_for_its_credentials_sends_again_in_order_and_no_try_is_counted(query: Any) -> None:
    ids = [add(query, account="shop") for _ in range(3)]
    hand_in(query, take(query), "hold", error_code="UNAUTHORIZED", detail="wrong password")
    assert take(query) == []
    assert query("SELECT held_reason FROM afil.held_accounts")[0][0] == "UNAUTHORIZED: wrong password"
    assert query("EXEC afil.release_account @account = N'shop'")[0].released
    assert query("SELECT name FROM afil.held_accounts") == []
    assert sent_order(query) == ids
    assert [one(query, id).attempts for id in ids] == [1, 1, 1]


def test_other_held_accounts_stay_held(query: Any) -> None:
    for account in ("shop", "office"):
        add(query, account=account)
        query("EXEC afil.pause @account = ?", account)
    query("EXEC afil.release_account @account = N'shop'")
    assert [r.account for r in take(query)] == ["shop"]


def test_an_account_that_is_not_held_is_released_zero_times(query: Any) -> None:
    assert not query("EXEC afil.release_account @account = N'nobody'")[0].released
    assert events(query) == []


def test_a_release_inside_a_transaction_goes_with_its_rollback(query: Any) -> None:
    query("EXEC afil.pause @account = N'shop'")
    query("BEGIN TRANSACTION; EXEC afil.release_account @account = N'shop'; ROLLBACK TRANSACTION;")
    assert len(query("SELECT * FROM afil.held_accounts")) == 1


@pytest.mark.parametrize("bad", [None, "", "  ", "x" * 129])
def test_nonsense_is_refused_with_what_is_allowed(query: Any, bad: str | None) -> None:
    with pytest.raises(DriverError, match=r"1 to 128 characters long: afil.held_accounts lists those held.*51001"):
        query("EXEC afil.release_account @account = ?", bad)


def test_who_is_refused_goes_on_over_the_same_connection(query: Any, tsql_url: str) -> None:
    ours = "SELECT session_id FROM sys.dm_exec_sessions WHERE database_id = DB_ID()"
    with open_outbox(tsql_url) as outbox:
        for _ in range(2):
            with pytest.raises(InvalidParameter, match="@account must be the name of an account"):
                outbox.release_account("")
            sessions = {r.session_id for r in query(ours)}
        assert not outbox.release_account("never seen")
        assert {r.session_id for r in query(ours)} <= sessions
