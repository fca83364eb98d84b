"""afil.queue_status: depth, oldest age and rates, by account and method."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.rows import add

pytestmark = pytest.mark.tsql


def status(query: Any) -> dict[tuple[str, str], Any]:
    return {(r.account, r.method): r for r in query("SELECT * FROM afil.queue_status")}


def finish(query: Any, state: str, *seconds_ago: int, account: str = "default") -> None:
    for seconds in seconds_ago:
        id = add(query, state, account=account)
        query(f"UPDATE afil.outbox SET completed_at = DATEADD(SECOND, -{seconds}, SYSUTCDATETIME()) WHERE id = ?", id)


def test_an_empty_outbox_has_no_rows(query: Any) -> None:
    assert status(query) == {}


def test_depth_is_counted_by_account_and_method(query: Any) -> None:
    for account, method, state in [
        ("shop", "sendmessage", "queued"), ("shop", "sendmessage", "queued"), ("shop", "sendmessage", "sending"),
        ("shop", "sendfile", "scheduled"), ("office", "sendmessage", "queued"),
    ]:  # fmt: skip
        add(query, state, account=account, method=method)
    got = {k: (r.waiting, r.scheduled, r.sending) for k, r in status(query).items()}
    assert got == {
        ("shop", "sendmessage"): (2, 0, 1),
        ("shop", "sendfile"): (0, 1, 0),
        ("office", "sendmessage"): (1, 0, 0),
    }


def test_the_oldest_is_the_longest_waiting_and_what_is_scheduled_does_not_wait(query: Any) -> None:
    add(query, days=1)
    add(query)
    add(query, "scheduled", account="later", days=-1)
    rows = status(query)
    assert 86400 <= rows["default", "sendmessage"].oldest_seconds < 86500
    assert rows["later", "sendmessage"].oldest_seconds is None


def test_rates_are_per_minute_over_one_five_and_sixty_minutes(query: Any) -> None:
    finish(query, "sent", 10, 20, 120, 200, 1000, 4000)
    finish(query, "failed", 5, 150)
    row = status(query)["default", "sendmessage"]
    assert [float(row.sent_per_minute_1), float(row.sent_per_minute_5), float(row.sent_per_minute_60)] == [2, 0.8, 0.1]
    assert [float(row.failed_per_minute_1), float(row.failed_per_minute_5), float(row.failed_per_minute_60)] == [
        1,
        0.4,
        0,
    ]
    assert (row.waiting, row.oldest_seconds) == (0, None)


def test_what_finished_over_an_hour_ago_or_was_cancelled_is_not_shown(query: Any) -> None:
    finish(query, "sent", 3700)
    finish(query, "cancelled", 5)
    finish(query, "uncertain", 5)
    assert status(query) == {}
