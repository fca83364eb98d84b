"""quota_per_minute: at most so many requests a sender and minute, refused with a clear error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.tsql.conftest import DriverError
from tests.tsql.rows import many, statuses

pytestmark = pytest.mark.tsql

SEND = "EXEC afil.send_message @platform = 'whatsapp', @platformid = '1', @destination = '2', @message = N'x'"
ELEMENT = {"platform": "whatsapp", "platformid": "1", "destination": "2", "message": "x"}


def quota(query: Any, value: int) -> None:
    query("EXEC afil.configure @name = 'quota_per_minute', @value = ?", value)


def mine(query: Any, count: int) -> None:
    """So many requests of the login's own, queued within this minute."""
    many(query, count, "sent")
    query("UPDATE afil.outbox SET created_by = SUSER_SNAME(), created_at = SYSUTCDATETIME()")


def test_the_request_beyond_it_is_refused_by_login_and_says_what_is_allowed(query: Any) -> None:
    quota(query, 3)
    for _ in range(3):
        query(SEND)
    login = query("SELECT SUSER_SNAME()")[0][0]
    with pytest.raises(
        DriverError,
        match=rf"the login '{login}' asks for 1 requests and may queue 0 more within this minute; the setting "
        r"quota_per_minute allows 3: wait, or have an operator raise it with afil.configure.*51005",
    ):
        query(SEND)
    assert len(statuses(query)) == 3


def test_a_batch_beyond_it_is_refused_whole(query: Any) -> None:
    quota(query, 3)
    query("EXEC afil.send_messages @messages = ?", json.dumps([ELEMENT] * 2))
    with pytest.raises(DriverError, match=r"asks for 2 requests and may queue 1 more.*51005"):
        query("EXEC afil.send_messages @messages = ?", json.dumps([ELEMENT] * 2))
    query("EXEC afil.send_messages @messages = ?", json.dumps([ELEMENT]))
    assert len(statuses(query)) == 3


def test_requests_of_others_and_of_the_minute_before_do_not_count(query: Any) -> None:
    quota(query, 1)
    many(query, 5, "sent")  # of somebody else, yesterday
    query("UPDATE afil.outbox SET created_at = SYSUTCDATETIME()")
    query(SEND)
    query("UPDATE afil.outbox SET created_at = DATEADD(SECOND, -61, SYSUTCDATETIME())")
    query(SEND)
    with pytest.raises(DriverError, match="51005"):
        query(SEND)


def test_zero_is_no_limit(query: Any) -> None:
    quota(query, 0)
    mine(query, 50)
    query(SEND)
    assert len(statuses(query)) == 51


def test_a_quota_of_200_is_exact(query: Any) -> None:
    quota(query, 200)
    mine(query, 200)
    for _ in range(20):
        with pytest.raises(DriverError, match="51005"):
            query(SEND)


def test_a_large_one_is_counted_now_and_then_and_stops_a_loop_all_the_same(query: Any) -> None:
    quota(query, 1000)
    mine(query, 1000)
    with pytest.raises(DriverError, match="51005"):
        for _ in range(200):  # one in ten is counted: 200 slip through once in a billion runs
            query(SEND)
    assert len(statuses(query)) < 1200


def test_a_refusal_that_the_caller_catches_leaves_their_transaction_to_them(query: Any) -> None:
    quota(query, 1)
    got = query(
        f"""
        SET XACT_ABORT OFF;
        DECLARE @error int, @state int;
        BEGIN TRANSACTION;
        {SEND};
        BEGIN TRY
            {SEND};
        END TRY
        BEGIN CATCH
            SELECT @error = ERROR_NUMBER(), @state = XACT_STATE();
        END CATCH;
        COMMIT TRANSACTION;
        SELECT @error, @state;
        """
    )
    assert [tuple(r) for r in got] == [(51005, 1)]
    assert len(statuses(query)) == 1
