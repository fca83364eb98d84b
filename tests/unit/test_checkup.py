"""What a trial call says about an account: each kind of trouble has its words and its advice."""

from __future__ import annotations

from typing import get_args

import pytest

from afilsql.api.connections import Reason
from afilsql.api.methods import ERROR_CODES
from afilsql.api.reply import Channel, Reply
from afilsql.checkup import explain, not_offered
from afilsql.errors import (
    ApiError,
    ConfigError,
    CredentialsRefused,
    DeliveryUnknown,
    NotSent,
    Refused,
    WsdlError,
)


def kind(outcome: Reply | Exception, transport: str = "post") -> str:
    return explain(outcome, transport=transport).kind


def test_every_reason_for_no_connection_has_words_of_its_own_and_advice() -> None:
    found = [explain(NotSent("x", code="CONNECT", reason=r), transport="post") for r in get_args(Reason)]
    assert len({f.kind for f in found}) == len(get_args(Reason))
    assert all(f.advice and "{" not in f.advice for f in found)


@pytest.mark.parametrize(("transport", "named"), [("post", "api_url"), ("json", "api_url"), ("soap", "wsdl")])
def test_advice_names_the_setting_that_holds_the_address(transport: str, named: str) -> None:
    assert named in explain(NotSent("x", code="CONNECT", reason="name"), transport=transport).advice


def test_trouble_with_the_token_endpoint_is_explained_by_its_own_setting() -> None:
    found = explain(NotSent("x", code="TOKEN_CONNECT", reason="refused"), transport="json")
    assert (found.kind, "token_url" in found.advice, "api_url" in found.advice) == (
        "token: connection refused", True, False,
    )  # fmt: skip
    for error, expected in (
        (NotSent("x", code="TOKEN_HTTP_429", status=429, retry_after=7.0), "token: too many requests"),
        (NotSent("x", code="TOKEN_HTTP_404", status=404), "token: not the API"),
        (NotSent("x", code="TOKEN_BAD_ANSWER", status=200), "token: not the API"),
        (NotSent("x", code="TOKEN_TIMEOUT"), "token: answer time-out"),
        (CredentialsRefused("x", code="TOKEN_INVALID_CLIENT", status=401), "token: refused"),
        (CredentialsRefused("x", code="TOKEN_HTTP_403", status=403), "token: forbidden"),
    ):
        assert kind(error, "json") == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CredentialsRefused("x", code="HTTP_401", status=401), "credentials"),
        (CredentialsRefused("x", code="HTTP_403", status=403), "forbidden"),
        (NotSent("x", code="HTTP_407", status=407), "proxy wants a login"),
        (NotSent("x", code="REDIRECTED", status=301), "redirect"),
        (DeliveryUnknown("x", code="REDIRECTED", status=302), "redirect"),
        (Refused("x", code="HTTP_404", status=404), "not the API"),
        (Refused("x", code="SOMETHING_NEW", status=200), "refused by the API"),
        (Refused("x", code="HTTP_400", status=400), "refused"),
        (DeliveryUnknown("x", code="NOT_JSON", status=200), "not the API"),
        (DeliveryUnknown("x", code="NOT_SOAP", status=200), "not the API"),
        (DeliveryUnknown("x", code="BAD_SHAPE", status=200), "not the API"),
        (DeliveryUnknown("x", code="HTTP_502", status=502), "server error"),
        (DeliveryUnknown("x", code="TIMEOUT"), "answer time-out"),
        (DeliveryUnknown("x", code="CONNECTION_BROKEN"), "connection broken"),
        (NotSent("x", code="WSDL", status=500), "WSDL"),
        (NotSent("x", code="TLS"), "TLS"),
        (WsdlError("x"), "WSDL"),
        (ConfigError("x"), "settings"),
        (ApiError("x"), "refused"),
        (RuntimeError("secret"), "unexpected"),
    ],
)  # fmt: skip
def test_each_kind_of_trouble_is_called_by_its_name(error: Exception, expected: str) -> None:
    found = explain(error, transport="post")
    assert (found.kind, found.is_ok, found.is_setting) == (expected, False, expected == "settings")
    assert "secret" not in found.what + found.advice


@pytest.mark.parametrize("code", ERROR_CODES)
def test_codes_of_the_api_about_the_account_are_credentials(code: str) -> None:
    hold = ERROR_CODES[code].handling == "hold account"
    error = (CredentialsRefused if hold else Refused)("x", code=code, status=200)
    assert kind(error) == ("credentials" if hold else "refused by the API")


@pytest.mark.parametrize(("wait", "told"), [(120.0, "in 120 s"), (None, "in a while")])
def test_beyond_the_rate_it_says_when_to_come_back(wait: float | None, told: str) -> None:
    found = explain(NotSent("x", code="HTTP_429", status=429, retry_after=wait), transport="post")
    assert (found.kind, found.again_in) == ("too many requests", wait)
    assert told in found.advice
    assert kind(NotSent("x", code="HTTP_503", status=503)) == "not available"


def test_a_reply_is_well_and_counts_channels() -> None:
    channel = Channel("100", "WhatsApp", "Shop")
    for rows, what in (((), "0 channels"), ((channel,), "1 channel"), ((channel, channel), "2 channels")):
        found = explain(Reply("getchatchannels", 200, rows, ""), transport="post")
        assert (found.is_ok, found.what, found.advice) == (True, what, "")


def test_platforms_without_a_channel_are_found() -> None:
    channels = [Channel("100", "WhatsApp", "Shop"), Channel("1", None, None)]
    assert not_offered(("whatsapp", "telegram"), channels) == ["telegram"]
    assert not_offered(None, channels) == []
