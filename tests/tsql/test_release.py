"""afil.release: a worker gives back what it took and did not call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.tsql.conftest import DriverError
from tests.tsql.rows import add, one, sent_order, take

pytestmark = pytest.mark.tsql


def claims(rows: list[Any], **values: object) -> str:
    return json.dumps([{"id": r.id, "lease_id": str(r.lease_id), "attempt": r.attempts} | values for r in rows])


def release(query: Any, text: str | None) -> int:
    return int(query("EXEC afil.release @worker = N'w', @claims = ?", text)[0].released)


def test_what_is_given_back_keeps_its_place_and_no_try_is_counted(query: Any) -> None:
    ids = [add(query) for _ in range(3)]
    rows = take(query)
    assert release(query, claims(rows)) == 1
    row = one(query, ids[0])
    assert (row.status, row.turn, row.attempts, row.lease_id, row.lease_until) == ("queued", 1, 0, None, None)
    assert sent_order(query) == ids


@pytest.mark.parametrize(
    "stale", [{"lease_id": "11111111-2222-3333-4444-555555555555"}, {"attempt": 2}, {"id": 999999999}]
)
def test_what_is_no_longer_this_workers_is_left_alone(query: Any, stale: dict[str, object]) -> None:
    id = add(query)
    rows = take(query)
    assert release(query, claims(rows, **stale)) == 0
    assert one(query, id).status == "sending"


def test_given_back_twice_it_is_given_back_once(query: Any) -> None:
    add(query)
    rows = take(query)
    assert [release(query, claims(rows)) for _ in range(2)] == [1, 0]


@pytest.mark.parametrize("bad", [None, "", "x", "{}", '{"id": 1}'])
def test_what_is_no_json_array_is_refused(query: Any, bad: str | None) -> None:
    with pytest.raises(DriverError, match=r"@claims is not a JSON array.*51001"):
        release(query, bad)
