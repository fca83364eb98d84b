"""What a caller makes of one claim: lists are kept, uncertain sends are read back."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, cast
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from afilsql.api.client import AfilnetClient
from afilsql.api.reply import Channel, Message, Reply
from afilsql.delivery.caller import Caller, ReadBackSettings
from afilsql.errors import (
    ConfigError,
    CredentialsRefused,
    DatabaseError,
    DatabaseUnavailable,
    DeliveryUnknown,
    NotSent,
    Refused,
)
from afilsql.outbox.records import Check, Claim, Known, Result

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CHAT = {"platform": "whatsapp", "platformid": "100", "destination": "346", "message": "hi"}


class Api:
    """Answers every call with one outcome, and remembers what was asked."""

    def __init__(self, outcome: Reply | Exception) -> None:
        self.outcome = outcome
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.send_by: list[float] = []

    def call(self, method: str, parameters: Mapping[str, Any], *, send_by: float) -> Reply:
        self.asked.append((method, dict(parameters)))
        self.send_by.append(send_by)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def listing(*messages: tuple[str, float]) -> Reply:
    rows = tuple(
        Message("100", "whatsapp", text, "346", "1", True, "sent", f"{NOW + timedelta(seconds=at):%Y-%m-%d %H:%M:%S}")
        for text, at in messages
    )
    return Reply("getmessages", 200, rows, "{}")


class Kept:
    """Keeps lists, or does as told: raises an error, or says that the lease was lost."""

    def __init__(self, error: Exception | None = None, *, lost: bool = False) -> None:
        self.lists: list[tuple[str, list[dict[str, Any]]]] = []
        self._error = error
        self._lost = lost

    def __call__(self, claim: Claim, kind: str, rows: Sequence[Mapping[str, Any]]) -> bool:
        if self._error is not None:
            raise self._error
        self.lists.append((kind, [dict(row) for row in rows]))
        return not self._lost


def caller_of(api: Api, kept: Kept, zone: tzinfo = UTC) -> Caller:
    return Caller(
        lambda account: cast(AfilnetClient, api),
        kept,
        on_unknown="reconcile",
        read_back=ReadBackSettings(after=15, settle=300, zone=zone),
        clock=lambda: NOW,
        monotonic=lambda: 0.0,
        random=random.Random(1).random,
    )


def read_back(outcome: Reply | Exception, *, age: float = 400.0, attempt: int = 1, known: tuple[Known, ...] = ()):
    api, kept = Api(outcome), Kept()
    check = Check(NOW + timedelta(seconds=age), NOW, NOW, known)
    claim = Claim(1, uuid4(), "default", "sendmessage", CHAT, attempt, 8, uuid4(), check=check)
    result = caller_of(api, kept).deliver(claim, math.inf)
    assert result is not None
    assert kept.lists == [], "the list of a reading back is for the verdict alone"
    return result, api


def get(
    outcome: Reply | Exception, kept: Kept, *, method: str = "getmessages", attempt: int = 1, zone: tzinfo = UTC
) -> Result | None:
    claim = Claim(1, uuid4(), "default", method, CHAT, attempt, 8, uuid4())
    return caller_of(Api(outcome), kept, zone).deliver(claim, math.inf)


BEFORE = (Known(7, True, NOW - timedelta(seconds=60), ("before",)),)


def fate(result: Result) -> tuple[str, float | None]:
    return result.kind, result.look_in


def test_the_conversation_is_read_and_nothing_is_sent() -> None:
    _, api = read_back(listing())
    assert api.asked == [("getmessages", {k: v for k, v in CHAT.items() if k != "message"})]


def test_a_call_must_leave_before_its_lease_may_have_run_out() -> None:
    api = Api(Reply("sendmessage", 200, (), ""))
    claim = Claim(1, uuid4(), "default", "sendmessage", CHAT | {"message": "Hi"}, 1, 8, uuid4())
    caller_of(api, Kept()).deliver(claim, 12.5)
    assert api.send_by == [12.5]


def test_a_listed_message_is_sent() -> None:
    result, _ = read_back(listing(("hi", 1)), age=15)
    assert fate(result) == ("sent", None)
    assert (result.error_code, result.body) == (None, None)


def test_an_absent_one_is_sent_again_at_once_and_fails_when_no_try_is_left() -> None:
    result, _ = read_back(listing(("before", -60)), known=BEFORE)
    assert (result.kind, result.retry_in, result.error_code) == ("retry", 0.0, "NOT_ARRIVED")
    result, _ = read_back(listing(("before", -60)), known=BEFORE, attempt=8)
    assert (result.kind, result.error_code) == ("failed", "NOT_ARRIVED")


def test_doubt_is_looked_at_again_until_the_api_has_had_its_time() -> None:
    kind, look_in = fate(read_back(listing(), age=20)[0])
    assert (kind, look_in) == ("uncertain", pytest.approx(40, abs=1))
    assert fate(read_back(listing(), age=301)[0]) == ("uncertain", None)


def test_a_chat_the_api_does_not_know_is_doubt() -> None:
    result, _ = read_back(Refused("no", status=200, code="CHAT_NOT_FOUND"), age=301)
    assert fate(result) == ("uncertain", None)
    assert "CHAT_NOT_FOUND" in (result.detail or "")


@pytest.mark.parametrize("outcome", [NotSent("down", code="CONNECT"), DeliveryUnknown("slow", code="TIMEOUT")])
def test_what_cannot_be_read_is_read_again_for_a_day(outcome: Exception) -> None:
    assert fate(read_back(outcome, age=4000)[0]) == ("uncertain", 15)
    assert fate(read_back(outcome, age=24 * 3600 + 1)[0]) == ("uncertain", None)


@pytest.mark.parametrize("outcome", [CredentialsRefused("no", code="MISSING_USER"), ConfigError("none")])
def test_refused_credentials_hold_the_account(outcome: Exception) -> None:
    result, _ = read_back(outcome)
    assert (result.kind, result.healthy) == ("hold", False)


@pytest.mark.parametrize(
    ("outcome", "healthy"),
    [(listing(), True), (Refused("no", code="X"), True), (NotSent("x", status=429), None), (NotSent("x"), False)],
)
def test_a_reading_shows_whether_the_api_works(outcome, healthy) -> None:
    assert read_back(outcome)[0].healthy is healthy


def test_the_list_of_an_answer_is_kept_with_its_times_in_utc() -> None:
    kept = Kept()
    result = get(listing(("hi", 0)), kept, zone=ZoneInfo("Europe/Madrid"))
    assert result is not None
    assert (result.kind, result.error_code, result.body, result.healthy) == ("sent", None, "{}", True)
    ((kind, (row,)),) = kept.lists
    assert (kind, row["message"], row["sent"], row["datetime"]) == ("messages", "hi", True, "2026-03-01 12:00:00")
    assert row["dated_at"] == NOW - timedelta(hours=1)


@pytest.mark.parametrize("text", ["yesterday", "", None, "2026-10-25 02:30:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_cannot_be_told_is_none(text: str | None) -> None:
    kept = Kept()
    message = Message("100", "whatsapp", "hi", "346", "1", True, "sent", text)
    get(Reply("getmessages", 200, (message,), "{}"), kept, zone=ZoneInfo("Europe/Madrid"))
    assert [row["dated_at"] for _, rows in kept.lists for row in rows] == [None]


def test_what_a_message_leaves_out_of_its_place_is_taken_from_the_question() -> None:
    kept = Kept()
    message = Message(None, "", "hi", None, "1", True, "sent", None)
    get(Reply("getmessages", 200, (message,), "{}"), kept)
    ((_, (row,)),) = kept.lists
    place = ("platform", "platformid", "destination")
    assert tuple(row[p] for p in place) == tuple(CHAT[p] for p in place)


def test_channels_are_kept_as_they_are_and_an_empty_list_is_told_too() -> None:
    kept = Kept()
    channel = Channel("100", "whatsapp", "Shop")
    get(Reply("getchatchannels", 200, (channel,), "{}"), kept, method="getchatchannels")
    get(Reply("getmessages", 200, (), "{}"), kept)
    assert kept.lists == [
        ("channels", [{"platformid": "100", "platform": "whatsapp", "name": "Shop"}]),
        ("messages", []),
    ]


def test_nothing_is_kept_of_a_send_or_of_a_call_that_failed() -> None:
    kept = Kept()
    assert get(Reply("sendmessage", 200, (), "{}"), kept, method="sendmessage") is not None
    assert get(Refused("no", status=200, code="CHAT_NOT_FOUND"), kept) is not None
    assert kept.lists == []


def test_the_last_try_still_tells_how_long_the_api_wants_to_rest() -> None:
    """What subscriptions ask is tried once, so a poll may be the only one to hear of it."""
    found = get(NotSent("too many", status=429, retry_after=30.0), Kept(), attempt=8)
    assert found is not None
    assert (found.kind, found.retry_in) == ("failed", 30.0)
    found = get(NotSent("busy", status=503, retry_after=30.0), Kept(), attempt=8)
    assert found is not None
    assert (found.kind, found.retry_in) == ("failed", 0.0)


def test_a_lease_that_was_lost_leaves_no_result() -> None:
    assert get(listing(("hi", 0)), Kept(lost=True)) is None


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (DatabaseError("the trigger says no"), "ROWS_REFUSED", "the trigger says no"),
        (DatabaseUnavailable("gone"), "DATABASE_UNAVAILABLE", "gone"),
        (RuntimeError("a secret"), "ROWS_REFUSED", "unexpected RuntimeError"),
    ],
)
def test_a_list_that_is_refused_is_asked_for_again_until_no_try_is_left(
    error: Exception, code: str, reason: str
) -> None:
    again, over = (get(listing(("hi", 0)), Kept(error), attempt=n) for n in (7, 8))
    assert again is not None
    assert over is not None
    assert (again.kind, over.kind, over.retry_in) == ("retry", "failed", 0.0)
    assert 0 < again.retry_in <= 64
    for result in (again, over):
        assert (result.error_code, result.healthy, result.http_status, result.unknown) == (code, True, 200, False)
        assert result.detail == f"the database refused the rows of the answer: {reason}"
