"""What becomes of a row: the whole decision table."""

from __future__ import annotations

import random

import pytest

from afilsql.api.reply import Reply
from afilsql.delivery.policy import (
    Failed,
    HoldAccount,
    Release,
    Retry,
    Sent,
    Uncertain,
    ceiling,
    code_of,
    decide,
    delay,
    detail_of,
    is_healthy,
    one_line,
    wait,
)
from afilsql.errors import ConfigError, CredentialsRefused, DeliveryUnknown, InvalidParameter, NotSent, Refused, TooLate
from afilsql.outbox.records import OnUnknown

REPLY = Reply("sendmessage", 200, (), "{}")


def decided(
    outcome: Reply | Exception, *, is_send: bool = True, attempt: int = 1, on_unknown: OnUnknown = "hold"
) -> object:
    return decide(outcome, is_send=is_send, attempt=attempt, max_attempts=8, on_unknown=on_unknown, random=lambda: 0.5)


@pytest.mark.parametrize("is_send", [True, False])
@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (REPLY, Sent()),
        (Refused(code="CHAT_NOT_FOUND"), Failed()),
        (CredentialsRefused(code="INCORRECT_USER_PASSWORD"), HoldAccount()),
        (ConfigError("no account"), HoldAccount()),
        (InvalidParameter("too long"), Failed()),
        (NotSent(code="CONNECT"), Retry(0.5)),
        (TooLate(code="TOO_LATE"), Release()),
    ],
)
def test_what_is_known_is_decided_alike_for_sends_and_reads(
    outcome: Reply | Exception, expected: object, is_send: bool
) -> None:
    assert decided(outcome, is_send=is_send) == expected


def test_a_send_nobody_knows_about_is_held_for_a_person() -> None:
    assert decided(DeliveryUnknown(code="TIMEOUT")) == Uncertain()


def test_a_send_nobody_knows_about_is_repeated_where_the_settings_say_so() -> None:
    assert decided(DeliveryUnknown(code="TIMEOUT"), on_unknown="retry") == Retry(0.5)


def test_a_read_nobody_knows_about_is_repeated() -> None:
    assert decided(DeliveryUnknown(code="TIMEOUT"), is_send=False) == Retry(0.5)


def test_the_last_try_fails_the_row() -> None:
    assert decided(NotSent(), attempt=7) == Retry(32.0)
    assert decided(NotSent(), attempt=8) == Failed()
    assert decided(DeliveryUnknown(), attempt=8, is_send=False) == Failed()


def test_the_last_try_of_a_send_that_may_have_gone_out_stays_uncertain() -> None:
    assert decided(DeliveryUnknown(), attempt=8, on_unknown="retry") == Uncertain()


def test_a_defect_of_ours_leaves_a_send_uncertain_and_fails_a_read() -> None:
    assert decided(KeyError("x"), on_unknown="retry") == Uncertain()
    assert decided(KeyError("x"), is_send=False) == Failed()


def test_the_ceiling_doubles_up_to_five_minutes() -> None:
    assert [ceiling(n) for n in (1, 2, 3, 9, 10, 5000)] == [1, 2, 4, 256, 300, 300]


def test_the_delay_is_anything_from_nothing_to_the_ceiling() -> None:
    assert [delay(4, lambda r=r: r) for r in (0.0, 0.5, 1.0)] == [0.0, 4.0, 8.0]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("retry_after", "expected"), [(None, 1.0), (0.2, 1.0), (60.0, 60.0), (99999.0, 3600.0), (-5, 1)]
)
def test_the_servers_hint_is_the_least_up_to_an_hour(retry_after: float | None, expected: float) -> None:
    assert wait(1, retry_after, lambda: 1.0) == expected


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (REPLY, None),
        (Refused(code="CHAT_NOT_FOUND"), "CHAT_NOT_FOUND"),
        (NotSent(status=503), "HTTP_503"),
        (DeliveryUnknown(), "DELIVERY_UNKNOWN"),
        (ConfigError(), "ACCOUNT_NOT_CONFIGURED"),
        (InvalidParameter(), "INVALID_PARAMETER"),
        (ValueError("x"), "INTERNAL"),
    ],
)
def test_every_outcome_but_success_has_a_code(outcome: Reply | Exception, code: str | None) -> None:
    assert code_of(outcome) == code


def test_the_text_of_a_foreign_exception_is_never_told() -> None:
    assert "hunter2" not in (detail_of(ValueError("password=hunter2")) or "")


def test_a_detail_is_one_short_line() -> None:
    assert one_line("a\r\nb\x00c") == "a  b c"
    assert len(one_line("x" * 5000)) == 400


def test_under_reconcile_an_unknown_send_is_read_back() -> None:
    unknown = DeliveryUnknown("slow", code="TIMEOUT")
    made = decide(
        unknown, is_send=True, attempt=1, max_attempts=8, on_unknown="reconcile", random=random.random, look_after=9.0
    )
    assert made == Uncertain(9.0)


def test_a_try_of_a_closed_account_that_was_not_sent_costs_no_try() -> None:
    for attempt in (1, 8):
        made = decide(
            NotSent("down", code="CONNECT"),
            is_send=True,
            attempt=attempt,
            max_attempts=8,
            on_unknown="hold",
            random=random.random,
            probe=True,
        )
        assert made == Release()


@pytest.mark.parametrize(
    ("outcome", "healthy"),
    [
        (TooLate(), None),
        (Refused("no such channel", status=200, code="CHANNEL_NOT_FOUND"), True),
        (Refused("not found", status=404, code="HTTP_404"), False),
        (CredentialsRefused("no", status=200, code="MISSING_USER"), False),
        (NotSent("too many", status=429, code="HTTP_429"), None),
        (NotSent("down", status=503, code="HTTP_503"), False),
        (DeliveryUnknown("slow", code="TIMEOUT"), False),
        (InvalidParameter("bad"), None),
        (KeyError("defect"), None),
    ],
)
def test_what_an_outcome_says_of_the_api_and_the_account(outcome: Exception, healthy: bool | None) -> None:
    assert is_healthy(outcome) is healthy
