"""afil.help_status: is all well, and what to do where it is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.rows import add

pytestmark = pytest.mark.tsql

ASPECTS = [
    "worker",
    "pause",
    "queue",
    "accounts",
    "failed",
    "uncertain",
    "notifications",
    "subscriptions",
    "last event",
]


def status(query: Any) -> dict[str, Any]:
    rows = query("EXEC afil.help_status")
    assert [r.aspect for r in rows] == ASPECTS
    for r in rows:
        assert (r.advice is None) == bool(r.ok), r.aspect
    return {r.aspect: r for r in rows}


def worker(query: Any, name: str, seconds: int) -> None:
    query(f"INSERT INTO afil.worker (name, seen_at) VALUES (?, DATEADD(SECOND, -{seconds}, SYSUTCDATETIME()))", name)


def test_an_empty_queue_with_a_living_worker_is_well(query: Any) -> None:
    worker(query, "a", 5)
    worker(query, "b", 600)
    rows = status(query)
    assert all(r.ok for r in rows.values())
    assert rows["worker"].state == "1 alive"
    assert rows["queue"].state == "0 waiting, 0 being sent, 0 scheduled; the oldest has waited 0 seconds"
    assert rows["last event"].state == "none"


def test_it_says_when_no_worker_was_ever_here_and_how_long_the_last_is_silent(query: Any) -> None:
    assert (status(query)["worker"].ok, status(query)["worker"].state) == (False, "no worker has ever been here")
    worker(query, "a", 600)
    row = status(query)["worker"]
    assert not row.ok
    assert row.state.startswith("none alive; the last was heard of 60")
    assert "afilsql worker" in row.advice


def test_it_says_how_deep_the_queue_is_and_how_long_the_oldest_has_waited(query: Any) -> None:
    add(query)
    add(query, "sending")
    add(query, "scheduled", days=-1)
    rows = status(query)
    assert rows["queue"].ok
    assert rows["queue"].state.startswith("1 waiting, 1 being sent, 1 scheduled; the oldest has waited ")
    add(query, days=1)
    row = status(query)["queue"]
    assert not row.ok
    assert row.state.startswith("2 waiting, 1 being sent, 1 scheduled; the oldest has waited 864")
    assert "afil.queue_status" in row.advice


def test_it_says_what_is_paused_and_which_accounts_are_held_and_why(query: Any) -> None:
    query("EXEC afil.pause @reason = N'maintenance'")
    query("EXEC afil.pause @account = N'shop', @reason = N'wrong password'")
    rows = status(query)
    assert (rows["pause"].ok, rows["pause"].state, rows["pause"].advice) == (
        False, "everything is paused", "EXEC afil.resume;",
    )  # fmt: skip
    assert (rows["accounts"].ok, rows["accounts"].state) == (False, "held: shop (wrong password)")
    assert "afil.release_account" in rows["accounts"].advice
    assert "account_held: shop: wrong password" in rows["last event"].state


def test_it_says_which_errors_there_were_within_the_hour(query: Any) -> None:
    add(query, "failed", error_code="OLD", days=1)
    assert (status(query)["failed"].ok, status(query)["failed"].state) == (True, "0 within the last hour")
    for code in ("REFUSED", "OVER_QUOTA", "OVER_QUOTA"):
        add(query, "failed", error_code=code)
    row = status(query)["failed"]
    assert (row.ok, row.state) == (False, "3 within the last hour: 2 OVER_QUOTA, 1 REFUSED")
    assert "afil.requeue" in row.advice


def test_it_counts_what_is_uncertain_however_old(query: Any) -> None:
    add(query, "uncertain", days=100)
    row = status(query)["uncertain"]
    assert (row.ok, row.state) == (False, "1 of which nobody can say whether they were sent")
    assert "afil.resolve" in row.advice


def test_many_held_accounts_with_long_names_do_not_break_it(query: Any) -> None:
    query(
        "INSERT INTO afil.account (name, held_at, held_reason) SELECT TOP (100) CONCAT(REPLICATE(N'x', 120), n), "
        "SYSUTCDATETIME(), REPLICATE(N'y', 400) FROM (SELECT ROW_NUMBER() OVER (ORDER BY object_id) AS n "
        "FROM sys.all_columns) AS r"
    )
    row = status(query)["accounts"]
    assert not row.ok
    assert len(row.state) > 3000


def test_a_subscription_that_fails_is_named_with_its_code(query: Any) -> None:
    for platformid in ("100", "200"):
        query("EXEC afil.subscribe @platform = N'whatsapp', @platformid = ?", platformid)
    assert status(query)["subscriptions"].state == "2 in all, 0 failing"
    query("UPDATE afil.subscription SET failures = 3, error_code = N'CHANNEL_NOT_FOUND' WHERE platformid = N'200'")
    found = status(query)["subscriptions"]
    assert (found.ok, found.state) == (False, "2 in all, 1 failing: whatsapp 200 CHANNEL_NOT_FOUND")
