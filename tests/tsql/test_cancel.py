"""afil.cancel: waiting requests leave the queue, and those behind them step forward."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.conftest import DriverError
from tests.tsql.rows import add, hand_in, one, sent_order, statuses, take

pytestmark = pytest.mark.tsql


def cancel(query: Any, parameters: str) -> int:
    return int(query(f"EXEC afil.cancel {parameters}")[0].cancelled)


@pytest.mark.parametrize("status", ["queued", "scheduled"])
def test_what_waits_is_cancelled_and_never_sent(query: Any, status: str) -> None:
    id = add(query, status)
    assert cancel(query, f"@ids = N'[{id}]'") == 1
    row = one(query, id)
    assert (row.status, row.turn) == ("cancelled", None)
    assert row.completed_at is not None
    assert take(query) == []


@pytest.mark.parametrize("status", ["sending", "sent", "failed", "uncertain", "cancelled"])
def test_what_is_being_sent_or_finished_is_left_alone(query: Any, status: str) -> None:
    id = add(query, status)
    before = tuple(one(query, id))
    assert cancel(query, f"@ids = N'[{id}, 999999999]'") == 0
    assert tuple(one(query, id)) == before


def test_all_of_a_notification_or_of_an_account_go_together(query: Any) -> None:
    for account, notification in (("shop", "orders"), ("shop", None), ("office", "orders"), ("office", None)):
        add(query, account=account, notification=notification)
    assert cancel(query, "@notification = N'orders', @account = N'office'") == 1
    assert statuses(query) == ["queued", "queued", "cancelled", "queued"]
    assert cancel(query, "@notification = N'orders'") == 1
    assert cancel(query, "@account = N'shop'") == 1
    assert statuses(query) == ["cancelled", "cancelled", "cancelled", "queued"]


def test_more_than_a_batch_is_cancelled_in_one_call(query: Any) -> None:
    query(
        "INSERT INTO afil.outbox (request_id, account, method, priority, status, turn, due_at, attempts, max_attempts, "
        "conversation, created_at, created_by) SELECT TOP (501) NEWID(), N'shop', 'getchatchannels', 5, 'queued', 0, "
        "SYSUTCDATETIME(), 0, 8, N'shop', SYSUTCDATETIME(), N'x' FROM sys.all_columns"
    )
    assert cancel(query, "@account = N'shop'") == 501
    assert set(statuses(query)) == {"cancelled"}


def test_when_the_one_at_its_turn_is_cancelled_the_next_steps_forward(query: Any) -> None:
    ids = [add(query) for _ in range(3)]
    hand_in(query, take(query), "retry", retry_ms=3600000)
    assert [one(query, id).turn for id in ids] == [1, 2, 2]
    assert cancel(query, f"@ids = N'[{ids[0]}]'") == 1
    assert sent_order(query) == ids[1:]


def test_one_cancelled_from_the_middle_leaves_the_order_of_the_others(query: Any) -> None:
    ids = [add(query) for _ in range(4)]
    first = take(query)
    assert cancel(query, f"@ids = N'[{ids[1]}]'") == 1
    assert take(query) == []
    hand_in(query, first)
    assert sent_order(query) == ids[2:]


def test_a_cancelled_request_put_back_is_sent_once_and_never_beside_another(query: Any) -> None:
    ids = [add(query) for _ in range(3)]
    first = take(query)
    cancel(query, f"@ids = N'[{ids[1]}]'")
    query("EXEC afil.requeue @ids = ?", f"[{ids[1]}]")
    assert take(query) == []
    hand_in(query, first)
    assert sorted(sent_order(query)) == ids[1:]


def test_a_cancelled_request_of_a_held_account_does_not_stop_those_behind_it(query: Any) -> None:
    ids = [add(query, account="shop") for _ in range(3)]
    query("EXEC afil.pause @account = N'shop'")
    assert take(query) == []
    cancel(query, f"@ids = N'[{ids[0]}]'")
    query("EXEC afil.release_account @account = N'shop'")
    assert sent_order(query) == ids[1:]


def test_a_cancel_inside_a_transaction_goes_with_its_rollback(query: Any) -> None:
    id = add(query)
    query("BEGIN TRANSACTION; EXEC afil.cancel @ids = ?; ROLLBACK TRANSACTION;", f"[{id}]")
    assert one(query, id).status == "queued"


@pytest.mark.parametrize(
    ("parameters", "allowed"),
    [
        ("@ids = NULL", "say which requests"),
        ("@ids = N'12, 13'", r"write \[12, 13\]"),
        ("@ids = N''", r"write \[12, 13\]"),
        ("@ids = N'{\"id\": 12}'", r"write \[12, 13\]"),
        ("@ids = N'[\"twelve\"]'", r"write \[12, 13\]"),
        ("@ids = N'[null]', @account = N'shop'", r"write \[12, 13\]"),
    ],
)
def test_nonsense_is_refused_with_what_is_allowed(query: Any, parameters: str, allowed: str) -> None:
    with pytest.raises(DriverError, match=rf"{allowed}.*51001"):
        cancel(query, parameters)
