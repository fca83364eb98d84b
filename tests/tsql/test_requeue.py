"""afil.requeue: failed, uncertain and cancelled requests go back in the queue."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.conftest import DriverError
from tests.tsql.rows import add, hand_in, many, one, sent_order, statuses, take

pytestmark = pytest.mark.tsql


def requeue(query: Any, parameters: str) -> int:
    return int(query(f"EXEC afil.requeue {parameters}")[0].requeued)


@pytest.mark.parametrize("status", ["failed", "uncertain", "cancelled"])
def test_what_is_named_goes_back_with_a_fresh_set_of_tries(query: Any, status: str) -> None:
    id = add(query, status, attempts=8, error_code="X", http_status=500)
    assert requeue(query, f"@ids = N'[{id}]'") == 1
    row = one(query, id)
    assert (row.status, row.turn, row.attempts, row.max_attempts) == ("queued", 0, 8, 16)
    assert (row.completed_at, row.error_code, row.http_status) == (None, None, None)
    assert [r.id for r in take(query)] == [id]


@pytest.mark.parametrize("status", ["queued", "scheduled", "sending", "sent"])
def test_what_is_under_way_or_sent_is_left_alone(query: Any, status: str) -> None:
    id = add(query, status)
    before = tuple(one(query, id))
    assert requeue(query, f"@ids = N'[{id}, 999999999]'") == 0
    assert tuple(one(query, id)) == before


def test_by_code_it_takes_the_failed_ones_of_that_code_and_account(query: Any) -> None:
    wanted = add(query, "failed", error_code="OVER_QUOTA", account="shop")
    add(query, "failed", error_code="OVER_QUOTA", account="office")
    add(query, "failed", error_code="REFUSED", account="shop")
    add(query, "uncertain", error_code="OVER_QUOTA", account="shop")
    assert requeue(query, "@error_code = N'OVER_QUOTA', @account = N'shop'") == 1
    assert one(query, wanted).status == "queued"
    assert statuses(query) == ["queued", "failed", "failed", "uncertain"]
    assert requeue(query, "@error_code = N'OVER_QUOTA'") == 1


def test_more_than_a_batch_goes_back_in_one_call(query: Any) -> None:
    many(query, 501, "failed")
    query("UPDATE afil.outbox SET error_code = N'X'")
    assert requeue(query, "@error_code = N'X'") == 501
    assert set(statuses(query)) == {"queued"}


def test_a_conversation_keeps_its_order_and_never_has_two_in_flight(query: Any) -> None:
    ids = [add(query) for _ in range(4)]
    hand_in(query, take(query), "failed", error_code="REFUSED")
    second = take(query)
    assert [r.id for r in second] == [ids[1]]
    assert requeue(query, f"@ids = N'[{ids[0]}]'") == 1
    assert take(query) == []
    hand_in(query, second)
    assert sent_order(query) == [ids[0], ids[2], ids[3]]


def test_a_requeue_inside_a_transaction_goes_with_its_rollback(query: Any) -> None:
    id = add(query, "failed")
    query("BEGIN TRANSACTION; EXEC afil.requeue @ids = ?; ROLLBACK TRANSACTION;", f"[{id}]")
    assert one(query, id).status == "failed"


@pytest.mark.parametrize(
    ("parameters", "allowed"),
    [
        ("@ids = NULL", "say which requests"),
        ("@account = N'shop'", "say which requests"),
        ("@ids = N'[1]', @error_code = N'X'", "exclude each other: give one"),
        ("@ids = N'12, 13'", r"write \[12, 13\]"),
        ("@ids = N''", r"write \[12, 13\]"),
        ("@ids = N'{\"id\": 12}'", r"write \[12, 13\]"),
        ("@ids = N'{}'", r"write \[12, 13\]"),
        ("@ids = N'[\"twelve\"]'", r"write \[12, 13\]"),
        ("@ids = N'[null]'", r"write \[12, 13\]"),
        ("@ids = N'[[12]]'", r"write \[12, 13\]"),
    ],
)
def test_nonsense_is_refused_with_what_is_allowed(query: Any, parameters: str, allowed: str) -> None:
    with pytest.raises(DriverError, match=rf"{allowed}.*51001"):
        requeue(query, parameters)
