"""afil.pause and afil.resume: everything, or one account."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.conftest import DriverError
from tests.tsql.rows import add, events, hand_in, one, sent_order, take

pytestmark = pytest.mark.tsql


def test_while_everything_is_paused_nothing_is_taken_and_new_requests_are_accepted(query: Any) -> None:
    first = add(query)
    query("EXEC afil.pause @reason = N'maintenance'")
    second = add(query, destination="other")
    assert take(query) == []
    assert query("EXEC afil.resume")[0].resumed
    assert sorted(r.id for r in take(query)) == [first, second]


def test_a_call_in_flight_ends_as_it_would_while_paused(query: Any) -> None:
    id = add(query)
    rows = take(query)
    query("EXEC afil.pause")
    hand_in(query, rows)
    assert one(query, id).status == "sent"


def test_one_account_paused_leaves_the_others_alone(query: Any) -> None:
    add(query, account="shop")
    other = add(query, account="office")
    query("EXEC afil.pause @account = N'shop', @reason = N'new password on Monday'")
    assert [r.id for r in take(query)] == [other]
    held = query("SELECT name, held_reason FROM afil.held_accounts")
    assert [tuple(r) for r in held] == [("shop", "new password on Monday")]


def test_an_account_resumed_sends_what_waited_in_its_order(query: Any) -> None:
    query("EXEC afil.pause @account = N'shop'")
    ids = [add(query, account="shop", destination=str(n % 2)) for n in range(6)]
    assert take(query) == []
    assert query("EXEC afil.resume @account = N'shop'")[0].released
    order = sent_order(query)
    assert sorted(order) == ids
    for conversation in (ids[0::2], ids[1::2]):
        assert [i for i in order if i in conversation] == conversation


def test_resuming_what_is_not_paused_changes_nothing_and_says_so(query: Any) -> None:
    assert not query("EXEC afil.resume")[0].resumed
    assert not query("EXEC afil.resume @account = N'shop'")[0].released
    assert events(query) == []


def test_the_log_says_who_paused_what_and_why(query: Any) -> None:
    login = query("SELECT SUSER_SNAME()")[0][0]
    query("EXEC afil.pause @reason = N'maintenance'")
    query("EXEC afil.resume")
    query("EXEC afil.pause @account = N'shop'")
    query("EXEC afil.resume @account = N'shop'")
    assert events(query) == [
        ("paused", f"maintenance ({login})"),
        ("resumed", login),
        ("account_held", f"shop: paused by an operator ({login})"),
        ("account_released", f"shop ({login})"),
    ]


def test_a_pause_inside_a_transaction_goes_with_its_rollback(query: Any) -> None:
    query("BEGIN TRANSACTION; EXEC afil.pause; EXEC afil.pause @account = N'shop'; ROLLBACK TRANSACTION;")
    add(query)
    assert len(take(query)) == 1
    assert events(query) == []
    assert query("SELECT * FROM afil.held_accounts") == []


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        ("pause @account = N''", "1 to 128 characters long, or NULL for all"),
        ("pause @account = N'   '", "1 to 128 characters long, or NULL for all"),
        (f"pause @account = N'{'x' * 129}'", "1 to 128 characters long, or NULL for all"),
        ("pause @reason = NULL", "in 1 to 400 characters"),
        ("pause @reason = N''", "in 1 to 400 characters"),
        (f"pause @reason = N'{'x' * 401}'", "in 1 to 400 characters"),
        ("resume @account = N''", "1 to 128 characters long"),
        (f"resume @account = N'{'x' * 129}'", "1 to 128 characters long"),
    ],
)
def test_nonsense_is_refused_with_what_is_allowed(query: Any, call: str, allowed: str) -> None:
    with pytest.raises(DriverError, match=rf"{allowed}.*51001"):
        query(f"EXEC afil.{call}")
    assert events(query) == []
