"""From an answer to what it means: every status, every body, every Retry-After, secrets of every length."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afilsql.api.answers import Answer, Mask, retry_after, understand
from afilsql.api.reply import MAX_ROWS, Reply
from afilsql.errors import ApiError, CredentialsRefused, DeliveryUnknown, NotSent, Refused

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BODIES = {"html": b"<html>no</html>", "json": b'{"message": "no"}', "empty": b"", "binary": b"\xff\xfe\x00"}


def outcome(status: int, body: bytes, *, secret: str = "", method: str = "sendmessage") -> Reply | ApiError:
    try:
        return understand(method, Answer(status, {}, body), mask=Mask(secret), now=NOW)
    except ApiError as error:
        return error


def kind_of(status: int) -> type[ApiError]:
    """What the rules make of a status with a body that says nothing."""
    if status in (301, 307, 308, 407, 429, 503):
        return NotSent
    if status in (401, 403):
        return CredentialsRefused
    if 400 <= status < 500 and status != 408:
        return Refused
    return DeliveryUnknown


@pytest.mark.parametrize("body", BODIES)
def test_every_status_with_a_body_that_says_nothing_is_understood_by_the_rules(body: str) -> None:
    for status in range(200, 1000):
        found = outcome(status, BODIES[body])
        assert type(found) is kind_of(status), status
        assert found.status == status
        assert found.code


@pytest.mark.parametrize("status", [s for s in range(200, 1000) if not 200 <= s < 300])
def test_no_status_but_2xx_makes_a_success(status: int) -> None:
    assert isinstance(outcome(status, b'{"status": "SUCCESS", "result": {}}'), ApiError)


@given(st.integers(200, 999), st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_comes_is_a_reply_or_one_of_our_errors(status: int, body: bytes) -> None:
    assert isinstance(outcome(status, body, secret="x"), (Reply, ApiError))


keys = st.sampled_from(["status", "result", "error", "list"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["status", "result", "error", "list"]), inner)
    ),
    max_leaves=9,
)


@given(json_values, st.sampled_from(["sendmessage", "getmessages", "getchats", "getchatchannels"]))
def test_json_of_any_shape_is_a_success_only_where_it_says_so(value: object, method: str) -> None:
    found = outcome(200, json.dumps(value).encode(), method=method)
    says_so = isinstance(value, dict) and str(value.get("status")).strip().lower() == "success"
    assert says_so or isinstance(found, ApiError)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        (" ", None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("0.000000000000001", 0.0),
        ("1000000000000", 3600.0),
        ("9" * 5000, 3600.0),
        ("1" * 400 + ".5", 3600.0),
        ("-1", None),
        ("+1", None),
        ("1e9", None),
        ("٣", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("7, 8", None),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Fri, 02 Jan 2026 08:35:05 +0530", 60.0),
        ("Thu, 01 Jan 2026 22:05:05 EST", 60.0),
        ("Fri, 02 Jan 2026 03:05:05 -0000", 60.0),
        ("Friday, 02-Jan-26 03:05:05 GMT", 60.0),
        ("Fri Jan  2 03:05:05 2026", 60.0),
        ("Fri, 02 Jan 2015 03:05:05 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 99 Jan 2026 03:05:05 GMT", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_and_an_hour_at_most(value: str | None, seconds: float | None) -> None:
    found = retry_after(value, NOW)
    assert found == (None if seconds is None else pytest.approx(seconds, abs=1e-9))


@given(st.text(max_size=60))
def test_no_retry_after_breaks_anything(value: str) -> None:
    found = retry_after(value, NOW)
    assert found is None or 0 <= found <= 3600


@pytest.mark.parametrize(
    ("secret", "text", "masked"),
    [
        ("1234", 'password=1234&id=51234 "1234" 12345', 'password=***&id=51234 "***" 12345'),
        ("demo", "user demo, democracy, _demo_", "user ***, democracy, _***_"),
        ("e", "the letter e", "the letter ***"),
        ("a&b", "x=a%26b a&amp;b xa&by", "x=*** *** xa&by"),
        ("ñu", "cañu ñu %C3%B1u \\u00f1u", "cañu *** *** ***"),
        ("s3cret", "xs3cretx", "x***x"),
        ("", "nothing", "nothing"),
    ],
)
def test_a_short_secret_is_masked_where_it_stands_alone_and_a_long_one_everywhere(
    secret: str, text: str, masked: str
) -> None:
    assert Mask(secret)(text) == masked


@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 40))
def test_the_beginning_of_a_text_shows_no_part_of_a_secret(limit: int, before: int, after: int) -> None:
    shown = Mask("s3cr/t").beginning("." * before + "s3cr/t" * 3 + "." * after, limit)
    assert len(shown) <= limit
    assert set(shown) <= set(".*")


@pytest.mark.parametrize("secret", ["user", "PASSWORD", "INCORRECT_USER_PASSWORD", "_"])
def test_a_password_that_is_a_word_of_a_code_does_not_hide_the_code(secret: str) -> None:
    found = outcome(200, b'{"status": "error", "error": "INCORRECT_USER_PASSWORD"}', secret=secret)
    assert type(found) is CredentialsRefused
    assert found.code == "INCORRECT_USER_PASSWORD"


def test_a_list_of_millions_of_nothings_is_not_taken() -> None:
    body = b'{"status": "success", "result": [' + b"{}," * MAX_ROWS + b"{}]}"
    found = outcome(200, body, method="getmessages")
    assert isinstance(found, DeliveryUnknown)
    assert found.code == "BAD_SHAPE"


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("getchatchannels", "channels"),
        ("getchats", "chats"),
        ("getmessages", "messages"),
        ("getunreadmessages", "messages"),
    ],
)
def test_rows_are_also_there_under_the_name_of_their_kind(method: str, kind: str) -> None:
    body = json.dumps({"status": "success", "result": {"list": [{"platformid": "1"}, {"platformid": "2"}]}}).encode()
    reply = outcome(200, body, method=method)
    assert isinstance(reply, Reply)
    kinds = {"channels": reply.channels, "chats": reply.chats, "messages": reply.messages}
    assert [row.platformid for row in kinds.pop(kind)] == ["1", "2"]
    assert list(kinds.values()) == [(), ()]
