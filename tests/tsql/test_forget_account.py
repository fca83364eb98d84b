"""afil.forget_account has requests of an account refused from now on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.conftest import DriverError
from tests.tsql.rows import events, statuses, take

pytestmark = pytest.mark.tsql

FORGET = "EXEC afil.forget_account @account = ?"
SEND = "EXEC afil.get_chats @platform = 'whatsapp', @platformid = '1', @account = ?"


@pytest.fixture(autouse=True)
def two(query: Any) -> None:
    query('EXEC afil.announce @accounts = N\'[{"name": "shop", "platforms": "whatsapp"}, {"name": "office"}]\'')


def test_its_requests_are_refused_those_that_wait_are_still_taken_and_it_is_logged(query: Any) -> None:
    query(SEND, "shop")
    query(FORGET, "shop")
    with pytest.raises(DriverError, match=r"@account 'shop' is not known to any worker \(known: office\)"):
        query(SEND, "shop")
    assert statuses(query) == ["queued"]
    assert [r.account for r in take(query)] == ["shop"]
    login = query("SELECT SUSER_SNAME()")[0][0]
    assert events(query) == [("account_forgotten", f"shop ({login})")]


def test_a_hold_outlives_it_and_a_worker_makes_it_known_again(query: Any) -> None:
    query("EXEC afil.pause @account = N'shop', @reason = N'why'")
    query(FORGET, "shop")
    assert [(r.name, r.held_reason) for r in query("SELECT * FROM afil.held_accounts")] == [("shop", "why")]
    query('EXEC afil.announce @accounts = N\'[{"name": "shop"}]\'')
    query(SEND, "shop")
    assert statuses(query) == ["queued"]


def test_with_the_last_one_forgotten_every_name_is_accepted(query: Any) -> None:
    query(FORGET, "shop")
    query(FORGET, "office")
    query(SEND, "whoever")
    assert statuses(query) == ["queued"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("shpo", r"no worker has made an account 'shpo' known: afil.known_accounts lists those.*51002"),
        (None, r"@account must be the name of an account.*51001"),
        ("", r"@account must be the name of an account.*51001"),
        ("x" * 129, r"@account must be the name of an account.*51001"),
    ],
)
def test_an_account_that_is_not_known_is_refused(query: Any, name: str | None, error: str) -> None:
    with pytest.raises(DriverError, match=error):
        query(FORGET, name)
    query("EXEC afil.pause @account = N'paused'")
    with pytest.raises(DriverError, match="51002"):
        query(FORGET, "paused")
    assert query("SELECT @@TRANCOUNT")[0][0] == 0
    assert [r.name for r in query("SELECT name FROM afil.known_accounts ORDER BY name")] == ["office", "shop"]
