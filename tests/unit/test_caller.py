"""Reading back an uncertain send: what is asked, and what becomes of the row."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from afilsql.api.client import AfilnetClient
from afilsql.api.reply import Message, Reply
from afilsql.delivery.caller import Caller, ReadBackSettings
from afilsql.errors import ConfigError, CredentialsRefused, DeliveryUnknown, NotSent, Refused
from afilsql.outbox.records import Check, Claim, Known, Result

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CHAT = {"platform": "whatsapp", "platformid": "100", "destination": "346", "message": "hi"}


class Api:
    """Answers every call with one outcome, and remembers what was asked."""

    def __init__(self, outcome: Reply | Exception) -> None:
        self.outcome = outcome
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def call(self, method: str, parameters: Mapping[str, Any]) -> Reply:
        self.asked.append((method, dict(parameters)))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def listing(*messages: tuple[str, float]) -> Reply:
    rows = tuple(
        Message("100", "whatsapp", text, "346", "1", True, "sent", f"{NOW + timedelta(seconds=at):%Y-%m-%d %H:%M:%S}")
        for text, at in messages
    )
    return Reply("getmessages", 200, rows, "{}")


def read_back(outcome: Reply | Exception, *, age: float = 400.0, attempt: int = 1, known: tuple[Known, ...] = ()):
    api = Api(outcome)
    caller = Caller(
        lambda account: cast(AfilnetClient, api),
        on_unknown="reconcile",
        read_back=ReadBackSettings(after=15, settle=300),
        clock=lambda: NOW,
        monotonic=lambda: 0.0,
        random=random.Random(1).random,
    )
    check = Check(NOW + timedelta(seconds=age), NOW, NOW, known)
    claim = Claim(1, uuid4(), "default", "sendmessage", CHAT, attempt, 8, uuid4(), check=check)
    return caller.deliver(claim), api


BEFORE = (Known(7, True, NOW - timedelta(seconds=60), ("before",)),)


def fate(result: Result) -> tuple[str, float | None]:
    return result.kind, result.look_in


def test_the_conversation_is_read_and_nothing_is_sent() -> None:
    _, api = read_back(listing())
    assert api.asked == [("getmessages", {k: v for k, v in CHAT.items() if k != "message"})]


def test_a_listed_message_is_sent() -> None:
    result, _ = read_back(listing(("hi", 1)), age=15)
    assert fate(result) == ("sent", None)
    assert (result.error_code, result.body, list(result.rows), result.kind_of_rows) == (None, None, [], None)


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
