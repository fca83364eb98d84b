"""afil.purge: finished requests by status and age, with their tries and answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.conftest import DriverError
from tests.tsql.rows import add, many, statuses

pytestmark = pytest.mark.tsql

FINISHED = ("sent", "failed", "uncertain", "cancelled")


def purge(query: Any, status: str | None, days: int | None) -> int:
    return int(query("EXEC afil.purge @status = ?, @older_than_days = ?", status, days)[0].purged)


@pytest.mark.parametrize("status", FINISHED)
def test_only_the_status_named_and_only_what_is_older_goes(query: Any, status: str) -> None:
    for each in (*FINISHED, "queued", "scheduled", "sending"):
        add(query, each, days=10)
        add(query, each, days=1)
    assert purge(query, status, 5) == 1
    assert purge(query, status, 5) == 0
    left = statuses(query)
    assert len(left) == 13
    assert left.count(status) == 1


def test_zero_days_takes_all_of_the_status(query: Any) -> None:
    add(query, "sent")
    add(query, "sent", days=400)
    assert purge(query, "sent", 0) == 2


def test_tries_and_answers_go_with_their_request_and_those_of_others_stay(query: Any) -> None:
    old, new = add(query, "sent", days=10), add(query, "sent")
    for id in (old, new):
        query(
            "INSERT INTO afil.attempt (id, attempt, started_at, duration_ms, worker) "
            "VALUES (?, 1, SYSUTCDATETIME(), 1, N'w')",
            id,
        )
        query("INSERT INTO afil.response (id, received_at, body) VALUES (?, SYSUTCDATETIME(), N'{}')", id)
    assert purge(query, "sent", 5) == 1
    for table in ("outbox", "attempt", "response"):
        assert [r[0] for r in query(f"SELECT id FROM afil.{table}")] == [new], table


def test_more_than_a_batch_goes_in_one_call(query: Any) -> None:
    many(query, 1001, "sent", days=2)
    assert purge(query, "sent", 1) == 1001
    assert statuses(query) == []


def test_a_batch_is_at_most_500_the_oldest_first(query: Any) -> None:
    newest = add(query, "sent", days=2)
    many(query, 500, "sent", days=3)
    assert query("DECLARE @n int; EXEC @n = afil.purge_batch 'sent', 1; SELECT @n")[0][0] == 500
    assert [r[0] for r in query("SELECT id FROM afil.outbox")] == [newest]


def test_a_purge_inside_a_transaction_goes_with_its_rollback(query: Any) -> None:
    add(query, "sent")
    query("BEGIN TRANSACTION; EXEC afil.purge @status = 'sent', @older_than_days = 0; ROLLBACK TRANSACTION;")
    assert statuses(query) == ["sent"]


@pytest.mark.parametrize("status", [None, "", "queued", "scheduled", "sending", "everything"])
def test_what_is_under_way_cannot_be_purged(query: Any, status: str | None) -> None:
    with pytest.raises(DriverError, match=r"@status is not one of sent, failed, uncertain, cancelled.*51001"):
        purge(query, status, 0)


@pytest.mark.parametrize("days", [None, -1, 36501])
def test_an_age_that_makes_no_sense_is_refused_with_what_is_allowed(query: Any, days: int | None) -> None:
    add(query, "sent")
    with pytest.raises(DriverError, match=r"@older_than_days is not between 0 and 36500.*51001"):
        purge(query, "sent", days)
    assert statuses(query) == ["sent"]
