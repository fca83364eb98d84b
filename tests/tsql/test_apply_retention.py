"""afil.apply_retention: what the settings no longer keep is purged, a batch a call."""

from __future__ import annotations

from typing import Any

import pytest

from afilsql.outbox.sqlserver import SqlServerOutbox
from tests.tsql.rows import add, many, statuses

pytestmark = pytest.mark.tsql


def keep(query: Any, what: str, days: int) -> None:
    query("EXEC afil.configure @name = ?, @value = ?", f"retention_days_{what}", days)


def apply(query: Any) -> tuple[int, bool]:
    row = query("EXEC afil.apply_retention")[0]
    return row.purged, row.more


def test_as_installed_every_request_is_kept(query: Any) -> None:
    for status in ("sent", "failed", "cancelled", "uncertain"):
        add(query, status, days=5000)
    assert apply(query) == (0, False)
    assert len(statuses(query)) == 4


def test_sent_requests_go_after_their_days_and_no_others(query: Any) -> None:
    for status in ("sent", "failed", "cancelled", "uncertain", "queued", "sending"):
        add(query, status, days=10)
        add(query, status, days=1)
    keep(query, "sent", 5)
    assert apply(query) == (1, False)
    assert statuses(query).count("sent") == 1
    assert len(statuses(query)) == 11


def test_failed_and_cancelled_ones_go_after_theirs_and_uncertain_ones_stay(query: Any) -> None:
    for status in ("sent", "failed", "cancelled", "uncertain"):
        add(query, status, days=10)
    keep(query, "failed", 5)
    assert apply(query) == (2, False)
    assert statuses(query) == ["sent", "uncertain"]


def test_a_full_batch_says_that_there_is_more(query: Any) -> None:
    many(query, 700, "sent", days=3)
    keep(query, "sent", 1)
    assert apply(query) == (500, True)
    assert apply(query) == (200, False)


def test_the_log_and_workers_long_gone_are_forgotten(query: Any) -> None:
    query(
        "INSERT INTO afil.event_log (logged_at, event) VALUES (DATEADD(DAY, -91, SYSUTCDATETIME()), 'old'), "
        "(DATEADD(DAY, -89, SYSUTCDATETIME()), 'new')"
    )
    query(
        "INSERT INTO afil.worker (name, seen_at) VALUES (N'old', DATEADD(DAY, -8, SYSUTCDATETIME())), "
        "(N'new', DATEADD(DAY, -6, SYSUTCDATETIME()))"
    )
    apply(query)
    assert [r[0] for r in query("SELECT event FROM afil.event_log")] == ["new"]
    assert [r[0] for r in query("SELECT name FROM afil.worker")] == ["new"]


def test_the_log_is_kept_for_ever_at_zero_days(query: Any) -> None:
    query("INSERT INTO afil.event_log (logged_at, event) VALUES (DATEADD(DAY, -9000, SYSUTCDATETIME()), 'old')")
    query("UPDATE afil.setting SET value = N'0' WHERE name = 'retention_days_log'")
    apply(query)
    assert len(query("SELECT event FROM afil.event_log")) == 1


def test_the_outbox_of_a_worker_applies_it(query: Any, tsql_url: str) -> None:
    many(query, 501, "sent", days=3)
    keep(query, "sent", 1)
    outbox = SqlServerOutbox(tsql_url)
    try:
        assert outbox.apply_retention() is True
        assert outbox.apply_retention() is False
    finally:
        outbox.close()
    assert statuses(query) == []
