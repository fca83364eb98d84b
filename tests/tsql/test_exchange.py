"""afil.exchange called directly: what the contract suite cannot see through the Outbox."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.conftest import DriverError

pytestmark = pytest.mark.tsql

LEASE = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def one_request(query: Any) -> int:
    return int(query("DECLARE @id bigint; EXEC afil.get_chat_channels @id = @id OUTPUT; SELECT @id;")[0][0])


def test_rows_of_an_exchange_whose_answer_was_lost_are_taken_again_and_no_try_is_counted(
    query: Any, one_request: int
) -> None:
    taken = query("EXEC afil.exchange @worker = 'w', @take = 1, @lease_id = ?", LEASE)
    again = query("EXEC afil.exchange @worker = 'w', @take = 1, @abandoned = ?", f'["{LEASE}"]')
    assert [r.id for r in taken] == [r.id for r in again] == [one_request]
    assert again[0].attempts == 1
    assert again[0].lease_id != LEASE


def test_an_abandoned_lease_that_took_nothing_changes_nothing(query: Any, one_request: int) -> None:
    assert [r.id for r in query("EXEC afil.exchange @worker = 'w', @take = 1, @abandoned = ?", f'["{LEASE}"]')] == [
        one_request
    ]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ("@worker = NULL", "@worker"),
        ("@worker = 'w', @take = 501", "@take"),
        ("@worker = 'w', @take = -1", "@take"),
        ("@worker = 'w', @lease_seconds = 0", "@lease_seconds"),
        ("@worker = 'w', @on_unknown = 'guess'", "@on_unknown"),
        ("@worker = 'w', @results = 'no json'", "@results"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(query: Any, parameters: str, named: str) -> None:
    with pytest.raises(DriverError, match=named):
        query(f"EXEC afil.exchange {parameters}")


def test_an_uncommitted_exchange_does_not_outlive_an_error(query: Any, one_request: int) -> None:
    bad = '[{"id": "not a number", "lease_id": "x", "attempt": 1, "kind": "sent"}]'
    with pytest.raises(DriverError):
        query("EXEC afil.exchange @worker = 'w', @take = 1, @results = ?", bad)
    assert query("SELECT @@TRANCOUNT")[0][0] == 0
    assert query("SELECT status FROM afil.all_items WHERE id = ?", one_request)[0][0] == "queued"
