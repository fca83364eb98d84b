"""afil.resolve: an uncertain request arrived, or is sent again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.conftest import DriverError
from tests.tsql.rows import add, events, hand_in, one, sent_order, take

pytestmark = pytest.mark.tsql


def resolve(query: Any, id: int | None, outcome: str | None) -> Any:
    return query("EXEC afil.resolve @id = ?, @outcome = ?", id, outcome)[0]


def test_one_that_arrived_counts_as_sent_and_is_not_sent_again(query: Any) -> None:
    id = add(query, "uncertain", error_code="TIMEOUT", days=1)
    finished = one(query, id).completed_at
    assert tuple(resolve(query, id, "arrived")) == (id, "sent")
    row = one(query, id)
    assert (row.status, row.turn, row.completed_at, row.error_code) == ("sent", None, finished, None)
    assert take(query) == []


def test_one_to_be_sent_again_is_queued_with_a_fresh_set_of_tries(query: Any) -> None:
    id = add(query, "uncertain", attempts=8, error_code="TIMEOUT")
    assert tuple(resolve(query, id, "send again")) == (id, "queued")
    row = one(query, id)
    assert (row.turn, row.attempts, row.max_attempts, row.completed_at, row.error_code) == (0, 8, 16, None, None)
    assert [r.id for r in take(query)] == [id]


def test_the_log_says_who_settled_what_and_how(query: Any) -> None:
    id = add(query, "uncertain")
    resolve(query, id, "arrived")
    login = query("SELECT SUSER_SNAME()")[0][0]
    assert events(query) == [("resolved", f"{id}: arrived ({login})")]


def test_sent_again_it_comes_before_what_waits_behind_it(query: Any) -> None:
    ids = [add(query) for _ in range(3)]
    hand_in(query, take(query), "uncertain", error_code="TIMEOUT")
    resolve(query, ids[0], "send again")
    assert sent_order(query) == ids


def test_sent_again_while_the_next_is_in_flight_it_waits_for_it(query: Any) -> None:
    ids = [add(query) for _ in range(3)]
    hand_in(query, take(query), "uncertain", error_code="TIMEOUT")
    second = take(query)
    resolve(query, ids[0], "send again")
    assert take(query) == []
    hand_in(query, second)
    assert sorted(sent_order(query)) == [ids[0], ids[2]]


@pytest.mark.parametrize("outcome", [None, "", "maybe", "sent"])
def test_an_unknown_outcome_is_refused_with_those_there_are(query: Any, outcome: str | None) -> None:
    id = add(query, "uncertain")
    with pytest.raises(DriverError, match=r"@outcome is not one of arrived, send again.*51001"):
        resolve(query, id, outcome)
    assert one(query, id).status == "uncertain"


@pytest.mark.parametrize("status", ["queued", "sending", "sent", "failed", "cancelled"])
def test_what_is_not_uncertain_is_refused_and_left_alone(query: Any, status: str) -> None:
    id = add(query, status)
    with pytest.raises(DriverError, match=rf"request {id} is {status}, not uncertain: afil.uncertain_items.*51002"):
        resolve(query, id, "send again")
    assert one(query, id).status == status
    assert query("SELECT @@TRANCOUNT")[0][0] == 0


@pytest.mark.parametrize("id", [999999999, None])
def test_a_request_that_does_not_exist_is_refused(query: Any, id: int | None) -> None:
    with pytest.raises(DriverError, match=r"does not exist, not uncertain.*51002"):
        resolve(query, id, "arrived")


def test_inside_a_transaction_it_goes_with_the_rollback_and_an_error_ends_the_transaction(query: Any) -> None:
    id = add(query, "uncertain")
    query("BEGIN TRANSACTION; EXEC afil.resolve @id = ?, @outcome = 'arrived'; ROLLBACK TRANSACTION;", id)
    assert one(query, id).status == "uncertain"
    with pytest.raises(DriverError):
        query(
            "BEGIN TRANSACTION; EXEC afil.resolve @id = ?, @outcome = 'arrived'; "
            "EXEC afil.resolve @id = 0, @outcome = 'arrived';",
            id,
        )
    assert query("SELECT @@TRANCOUNT")[0][0] == 0
    assert one(query, id).status == "uncertain"
