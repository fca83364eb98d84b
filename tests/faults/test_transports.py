"""Every transport, against the sandbox that speaks it: the same calls, the same answers, the same faults.

A transport is added to TRANSPORTS; a code that none of its calls can meet, to NEVER.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from pydantic import SecretBytes, SecretStr

from afilsql.api.answers import Answer, Mask
from afilsql.api.client import AfilnetClient
from afilsql.api.methods import ERROR_CODES, METHODS
from afilsql.api.transports import Basic, Get, HttpCall, JsonOAuth, Login, Post, Soap, Transport
from afilsql.api.transports.base import Fetch
from afilsql.api.transports.oauth import Grant
from afilsql.errors import (
    ApiError,
    ConfigError,
    CredentialsRefused,
    DeliveryUnknown,
    InvalidParameter,
    NotSent,
    Refused,
)
from afilsql.sandbox import SandboxServer
from afilsql.sandbox.faults import FAULT_KINDS
from afilsql.sandbox.state import SEEDED_DESTINATION
from tests.patience import PATIENCE

TRANSPORTS: Mapping[str, Callable[[SandboxServer], Transport]] = {
    "post": lambda s: Post(s.url_of("post")),
    "get": lambda s: Get(s.url_of("get")),
    "basic": lambda s: Basic(s.url_of("basic")),
    "basic by GET": lambda s: Basic(s.url_of("basic"), "GET"),
    "json": lambda s: JsonOAuth(s.url_of("json"), Grant(s.token_url)),
    "json with a password": lambda s: JsonOAuth(s.url_of("json"), Grant(s.token_url, "password", "chat")),
    "soap": lambda s: Soap(s.wsdl),
}

_OF_LOGIN = {"MISSING_USER", "MISSING_PASSWORD", "INCORRECT_USER_PASSWORD"}
#: A login is the token endpoint's to refuse, see test_tokens.
NEVER: Mapping[str, set[str]] = {"json": _OF_LOGIN, "json with a password": _OF_LOGIN}

BY_URL = ("get", "basic by GET")

#: Each is spelled differently in a URL, in JSON, in XML and in the Authorization header.
USER, PASSWORD = "us er+ñ@x.example", 'p:ä"+&%<>\\é/ 1'
SECRET = 's:ö"+&%<>\\é/ 2'
TEXT = "ñ & 50% +1 😀 <b>\"'\\ ]]> {x}\nline two\ttab"

CHAT = {"platform": "whatsapp", "platformid": "100", "destination": "1"}
SEEDED = CHAT | {"destination": SEEDED_DESTINATION}
FILE = {"type": "image", "fileurl": "https://x.example/y.png?a=1&b=ñ"}

each = pytest.mark.parametrize("name", TRANSPORTS)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(accounts={USER: PASSWORD}, clients={USER: SECRET}) as server:
        yield server


def client(transport: Transport, **options: Any) -> AfilnetClient:
    given: dict[str, Any] = {"user": USER, "password": PASSWORD, "client_id": USER, "client_secret": SECRET}
    return AfilnetClient(transport=transport, **({"read_timeout": 10.0} | given | options))


@contextmanager
def calling(name: str, server: SandboxServer, **options: Any) -> Iterator[AfilnetClient]:
    with client(TRANSPORTS[name](server), **options) as made:
        yield made


@each
def test_what_is_sent_arrives_as_it_was(sandbox: SandboxServer, name: str) -> None:
    before = len(sandbox.received)
    with calling(name, sandbox) as api:
        api.send_message(**CHAT, message=TEXT)
        api.send_file(**SEEDED, **FILE, thumburl="https://x.example/t.png", message=TEXT)
        api.send_file(**SEEDED, **FILE)
    sent = [(call["method"], call["params"]) for call in sandbox.received[before:]]
    file = {**SEEDED, **FILE}
    assert sent == [
        ("sendmessage", {**CHAT, "message": TEXT}),
        ("sendfile", {**file, "thumburl": "https://x.example/t.png", "message": TEXT}),
        ("sendfile", file),
    ]
    assert {call["user"] for call in sandbox.received} == {USER}


@each
def test_what_is_asked_for_comes_as_by_post(sandbox: SandboxServer, name: str) -> None:
    asked: list[tuple[str, dict[str, str]]] = [
        ("getchatchannels", {}),
        ("getchats", {"platform": "whatsapp", "platformid": "100"}),
        ("getmessages", SEEDED),
        ("getunreadmessages", SEEDED),
    ]
    with calling(name, sandbox) as api, calling("post", sandbox) as by_post:
        by_post.send_message(**SEEDED, message=TEXT)
        for method, parameters in asked:
            rows = api.call(method, parameters).rows
            assert rows == by_post.call(method, parameters).rows
            assert rows, method
        assert api.get_messages(**SEEDED).dicts()[-1]["message"] == TEXT


def test_every_method_is_asked_for_above() -> None:
    assert set(METHODS) == {
        "sendmessage", "sendfile", "getchatchannels", "getchats", "getmessages", "getunreadmessages",
    }  # fmt: skip


class Saying(Transport):
    """A transport that writes another call than it is asked to, which no check of ours would let through.

    Args:
        inner: Writes it.
        method, parameters: Of the call in truth.
        replaced: What takes the place of what in the written request.
    """

    def __init__(
        self, inner: Transport, method: str, parameters: Mapping[str, str], replaced: tuple[str, str] = ("", "")
    ) -> None:
        self.inner, self.url, self.grant = inner, inner.url, inner.grant
        self.method, self.parameters, self.replaced = method, parameters, replaced

    def prepare(self, fetch: Fetch) -> None:
        self.inner.prepare(fetch)

    def call(self, method: str, parameters: Mapping[str, str], login: Login) -> HttpCall:
        written = self.inner.call(self.method, self.parameters, login)
        old, new = self.replaced
        if not old:
            return written
        address, question, query = written.url.get_secret_value().partition("?")
        body = written.body.get_secret_value().replace(old.encode(), new.encode())
        url = SecretStr(address + question + query.replace(old, new))
        return HttpCall(written.verb, url, written.headers, SecretBytes(body))

    def answer(self, method: str, answer: Answer) -> Answer:
        return self.inner.answer(self.method, answer)


#: code, login, method, parameters, what is replaced in the written request
REFUSALS: list[tuple[str, dict[str, str], str, dict[str, str], tuple[str, str]]] = [
    ("MISSING_USER", {"user": ""}, "getchatchannels", {}, ("", "")),
    ("MISSING_PASSWORD", {"password": ""}, "getchatchannels", {}, ("", "")),
    ("INCORRECT_USER_PASSWORD", {"password": "wrong"}, "getchatchannels", {}, ("", "")),
    ("MISSING_CLASS", {}, "getmessages", SEEDED, ("class", "klass")),
    ("INCORRECT_CLASS", {}, "getmessages", SEEDED, ("chat", "shat")),
    ("MISSING_METHOD", {}, "getmessages", SEEDED, ("method", "way")),
    ("INCORRECT_METHOD", {}, "getmessages", SEEDED, ("getmessages", "getmassages")),
    ("MISSING_COMPULSORY_PARAM", {}, "sendmessage", CHAT, ("", "")),
    ("CHANNEL_NOT_FOUND", {}, "getchats", {"platform": "whatsapp", "platformid": "9"}, ("", "")),
    ("CHAT_NOT_FOUND", {}, "getmessages", CHAT | {"destination": "nobody"}, ("", "")),
    ("INCORRECT_FILETYPE", {}, "sendfile", SEEDED | FILE | {"type": "gif"}, ("", "")),
    ("INCORRECT_FILEURL", {}, "sendfile", SEEDED | FILE | {"fileurl": "y.png"}, ("", "")),
    ("INCORRECT_THUMBURL", {}, "sendfile", SEEDED | FILE | {"thumburl": "y.png"}, ("", "")),
]


def test_every_code_of_the_contract_is_met_below() -> None:
    assert {code for code, *_ in REFUSALS} == set(ERROR_CODES)


@pytest.mark.parametrize(
    ("name", "code", "login", "method", "parameters", "replaced"),
    [
        pytest.param(name, *refusal, id=f"{name}-{refusal[0]}")
        for name in TRANSPORTS
        for refusal in REFUSALS
        if refusal[0] not in NEVER.get(name, ())
    ],
)
def test_each_code_of_the_api_is_the_same_error(
    sandbox: SandboxServer,
    name: str,
    code: str,
    login: dict[str, str],
    method: str,
    parameters: dict[str, str],
    replaced: tuple[str, str],
) -> None:
    transport = Saying(TRANSPORTS[name](sandbox), method, parameters, replaced)
    before = len(sandbox.received)
    with client(transport, **login) as api, pytest.raises(Refused) as caught:
        api.get_chat_channels()
    assert caught.value.code == code
    assert isinstance(caught.value, CredentialsRefused) == (ERROR_CODES[code].handling == "hold account")
    assert len(sandbox.received) == before


FAULTS: Mapping[str, tuple[type[ApiError], str]] = {
    "503": (NotSent, "HTTP_503"),
    "429": (NotSent, "HTTP_429"),
    "500": (DeliveryUnknown, "HTTP_500"),
    "close": (DeliveryUnknown, "CONNECTION_BROKEN"),
    "html": (DeliveryUnknown, "NOT_JSON"),
    "lost": (DeliveryUnknown, "CONNECTION_BROKEN"),
}


def test_every_fault_of_the_sandbox_is_met_below() -> None:
    assert set(FAULTS) == set(FAULT_KINDS)


@pytest.mark.parametrize("fault", FAULTS)
@each
def test_each_fault_is_the_same_error_and_the_next_try_succeeds(sandbox: SandboxServer, name: str, fault: str) -> None:
    kind, code = FAULTS[fault]
    code = code.replace("JSON", "SOAP") if name == "soap" else code
    text = f"{name} [sandbox:{fault}]"
    with calling(name, sandbox) as api:
        before = len(sandbox.received)
        with pytest.raises(kind) as caught:
            api.send_message(**CHAT, message=text)
        assert type(caught.value) is kind
        assert caught.value.code == code
        assert caught.value.retry_after == (1.0 if fault in ("503", "429") else None)
        assert len(sandbox.received) - before == (1 if fault == "lost" else 0), "carried out, or not, as the error says"
        api.send_message(**CHAT, message=text)
    assert sandbox.received[-1]["params"]["message"] == text


@each
def test_an_answer_that_does_not_come_in_time_leaves_the_send_in_doubt(name: str) -> None:
    with (
        SandboxServer() as server,
        calling(
            name, server, user="demo", password="demo", client_id="demo", client_secret="demo", read_timeout=2.0
        ) as api,
    ):
        api.get_chat_channels()
        server.sandbox.latency = 60.0
        with pytest.raises(DeliveryUnknown) as caught:
            api.send_message(**CHAT, message="Hi")
    assert caught.value.code == "TIMEOUT"
    assert server.received[-1]["method"] == "sendmessage", "it was carried out"


@each
def test_beyond_the_rate_the_api_says_when_to_come_back(name: str) -> None:
    login = {"user": "demo", "password": "demo", "client_id": "demo", "client_secret": "demo"}
    with SandboxServer(rate_limit=0.01) as server, calling(name, server, **login) as api:
        api.get_chat_channels()
        with pytest.raises(NotSent) as caught:
            api.get_chat_channels()
    assert caught.value.code == "HTTP_429"
    assert caught.value.retry_after is not None
    assert 90 <= caught.value.retry_after <= 100


@each
def test_nobody_there_means_that_nothing_was_sent(name: str) -> None:
    with SandboxServer() as server:
        transport = TRANSPORTS[name](server)
    with client(transport) as api, pytest.raises(NotSent, match="nothing was sent") as caught:
        api.send_message(**CHAT, message="Hi")
    assert (caught.value.code or "").removeprefix("TOKEN_") == "CONNECT"


@pytest.mark.parametrize("name", [name for name in TRANSPORTS if name not in BY_URL])
def test_a_message_of_a_million_characters_goes_where_there_is_no_limit(sandbox: SandboxServer, name: str) -> None:
    long = "ñ" * 1_000_000
    with calling(name, sandbox) as api:
        api.send_message(**CHAT, message=long)
    assert sandbox.received[-1]["params"]["message"] == long


@pytest.mark.parametrize("name", BY_URL)
def test_a_url_is_4000_characters_long_at_most(sandbox: SandboxServer, name: str) -> None:
    login = Login(USER, SecretStr(PASSWORD))
    transport = TRANSPORTS[name](sandbox)
    room = 4_000 - len(transport.call("sendmessage", {**CHAT, "message": ""}, login).url)
    with calling(name, sandbox) as api:
        api.send_message(**CHAT, message="x" * room)
        before = len(sandbox.received)
        with pytest.raises(InvalidParameter) as caught:
            api.send_message(**CHAT, message="x" * (room + 1))
    assert caught.value.code == "URL_TOO_LONG"
    for told in ("sendmessage", "4001", "4000", "post" if name == "get" else "http_method", "nothing was sent"):
        assert told.lower() in str(caught.value).lower()
    assert len(sandbox.received) == before


def by_requests(call: HttpCall) -> Answer:
    answer = requests.get(call.url.get_secret_value(), timeout=PATIENCE)
    return Answer(answer.status_code, answer.headers, answer.content)


@each
def test_credentials_go_only_where_the_transport_has_them(sandbox: SandboxServer, name: str) -> None:
    login = Login("the-user", SecretStr("the-word"), "the-client", SecretStr("the-secret"), SecretStr("the-token"))
    transport = TRANSPORTS[name](sandbox)
    transport.prepare(by_requests)
    written = transport.call("sendmessage", {**CHAT, "message": "Hi"}, login)
    url, body = written.url.get_secret_value(), written.body.get_secret_value().decode()
    assert ("the-word" in url) == (name == "get")
    assert ("the-word" in body) == (name in ("post", "soap"))
    for secret in ("the-secret", "the-token", "dGhlLX"):  # the last as base64 begins
        assert secret not in url + body
    assert "the-word" not in str(dict(written.headers))
    shown = repr(written)
    assert "the-" not in shown
    assert "dGhlLX" not in shown


def test_a_login_is_hidden_as_it_stands_in_a_header_however_short() -> None:
    login = Login("demo", SecretStr("demo"), "app:1", SecretStr("é"), SecretStr("t0k"))
    mask = Mask(*login.secrets())
    for user, word in (("demo", "demo"), ("app%3A1", "%C3%A9")):
        header = base64.b64encode(f"{user}:{word}".encode()).decode()
        assert mask(f"Basic {header}, Bearer t0k") == "Basic ***, Bearer ***"
    assert mask("a demo of demography") == "a *** of demography"


def test_only_get_warns() -> None:
    assert "password" in Get("https://x.example/").caution
    assert not any(t.caution for t in (Post(), Basic("https://x.example/"), JsonOAuth("", Grant(""))))


def test_a_user_with_a_colon_cannot_use_basic_authentication() -> None:
    with pytest.raises(ConfigError, match="colon"):
        AfilnetClient("a:b", PASSWORD, transport=Basic("https://x.example/"))


@pytest.mark.parametrize(
    ("grant", "login", "lacks"),
    [
        ("client_credentials", {"client_id": ""}, "client_id"),
        ("client_credentials", {"client_secret": ""}, "client_secret"),
        ("password", {"password": ""}, "user and password"),
        ("password", {"user": ""}, "user and password"),
    ],
)
def test_a_grant_names_what_it_lacks(grant: Any, login: dict[str, str], lacks: str) -> None:
    with pytest.raises(ConfigError, match=lacks):
        client(JsonOAuth("https://x.example/", Grant("https://x.example/token", grant)), **login)


@pytest.mark.parametrize("which", ["url", "token_url"])
def test_no_transport_sends_credentials_in_clear_to_another_machine(which: str) -> None:
    given = {"url": "https://x.example/", "token_url": "https://x.example/token"} | {which: "http://x.example/"}
    transport = JsonOAuth(given["url"], Grant(given["token_url"]))
    with pytest.raises(ConfigError, match="unencrypted"):
        client(transport)
    client(transport, allow_http=True).close()


def test_a_get_asks_caches_to_stay_out_of_it(sandbox: SandboxServer) -> None:
    login = Login(USER, SecretStr(PASSWORD))
    for name in BY_URL:
        headers = TRANSPORTS[name](sandbox).call("getchatchannels", {}, login).headers
        assert headers["Cache-Control"] == "no-cache, no-store"


def test_basic_authentication_ignores_a_login_elsewhere(sandbox: SandboxServer) -> None:
    form = {"class": "chat", "method": "getchatchannels", "user": USER, "password": PASSWORD}
    with_form = requests.post(sandbox.url_of("basic"), data=form, timeout=PATIENCE)
    assert (with_form.status_code, with_form.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    wrong = requests.post(sandbox.url_of("basic"), data=form, auth=("x", "y"), timeout=PATIENCE).json()
    assert wrong["error"] == "INCORRECT_USER_PASSWORD"
