"""The secrets of every transport planted as canaries, said back in every way by an API and by a token endpoint."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr

from afilsql.api import xmltext
from afilsql.api.answers import Answer
from afilsql.api.client import AfilnetClient
from afilsql.api.tokens import Tokens
from afilsql.api.transports import Basic, Get, JsonOAuth, Login, Post, Soap, Transport
from afilsql.api.transports.oauth import Grant
from afilsql.deploy import migrate
from afilsql.errors import AfilsqlError, ApiError, InvalidParameter
from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from afilsql.sandbox import soap
from tests.faults.canaries import answer, frames_of, spellings
from tests.faults.tls import listening, read_request
from tests.patience import PATIENCE

PASSWORD, SECRET = 'C4n4ry/a"pi+<&>ñ\\w 4', 'C4n4ry/cl"ient+<&>é\\w 5'
TOKEN, REFRESH = "C4n4ry.acc3ss~tok+en/6==", "C4n4ry.refr3sh~tok+en/7=="
USER, CLIENT = "us er", "cl ient"
ALL = (PASSWORD, SECRET, TOKEN, REFRESH)
CANARIES = {spelling for secret in ALL for spelling in spellings(secret)}

HOWS = (
    "success", "code", "page", "error", "busy", "moved", "broken", "nonsense", "closed", "refused",
)  # fmt: skip
NAMES = ("post", "get", "basic", "basic by GET", "json", "json with a password", "soap")


def assert_clean(data: bytes | str, where: object) -> None:
    data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    for canary in CANARIES:
        assert canary not in data, f"{canary!r} in {where}: …{data[max(0, data.find(canary) - 200) :][:400]!r}"


def everything(request: bytes, secrets: Sequence[str]) -> str:
    """Secrets in all spellings, and the request itself, its URL and headers too."""
    pairs = [f"{USER}:{PASSWORD}", f"{quote_plus(CLIENT)}:{quote_plus(SECRET)}"]
    said = [spelled(secret) for secret in secrets for spelled in (str, quote, quote_plus, html.escape)]
    basic = [
        base64.b64encode(p.encode()).decode() for p, s in zip(pairs, (PASSWORD, SECRET), strict=True) if s in secrets
    ]
    return " ".join([*said, *basic, request.decode()])


def echo(connection: socket.socket) -> None:
    request = read_request(connection)
    if not request:
        return
    if request.startswith(b"POST /token"):
        token = {"access_token": TOKEN, "token_type": "Bearer", "refresh_token": REFRESH, "expires_in": 3600}
        connection.sendall(answer(200, json.dumps(token).encode()))
        return
    if request.startswith(b"GET /wsdl"):
        host = next(line[6:] for line in request.decode().split("\r\n") if line.lower().startswith("host: "))
        connection.sendall(answer(200, soap.wsdl(f"http://{host}/api/"), kind="text/xml"))
        return
    how = next(how for how in HOWS if f"how-{how}".encode() in request)
    # What an account does not log in with it cannot hide, and its API does not know.
    known = (SECRET, TOKEN) if b"Bearer " in request else (PASSWORD,)
    seen = everything(request, known)
    by_soap = as_asked_by_soap(how, xmltext.fit(seen)) if b"SOAPAction" in request else None
    connection.sendall(by_soap or as_asked(how, seen))


def as_asked(how: str, seen: str) -> bytes:
    rows = {"status": "SUCCESS", "result": {"list": [{"message": seen, "destination": seen, "messageid": "1"}]}}
    return {
        "success": answer(200, json.dumps(rows).encode()),
        "code": answer(200, json.dumps({"status": "ERROR", "error": f"BAD {seen}"}).encode()),
        "page": answer(200, f"<p>{seen}".encode(), kind="text/html"),
        "error": answer(500, seen.encode()),
        "busy": answer(503, seen.encode(), f"Retry-After: {quote(seen)}"),
        "moved": answer(302, b"", f"Location: https://x.example/?p={quote(seen)}"),
        "broken": answer(200, seen.encode())[:-5],
        "nonsense": f"HTTP/9 {quote(seen)}\r\n\r\n".encode(),
        "closed": b"",
        "refused": answer(401, json.dumps({"status": "ERROR", "error": seen}).encode()),
    }[how]


def as_asked_by_soap(how: str, seen: str) -> bytes | None:
    """The same by SOAP; None for what is no envelope anyway."""
    row = {"message": seen, "destination": seen, "messageid": "1"}
    said: dict[str, tuple[int, bytes]] = {
        "success": (200, soap.answer("getmessages", {"status": "SUCCESS", "result": {"list": [row]}})),
        "code": (200, soap.answer("getmessages", {"status": "ERROR", "error": f"BAD {seen}"})),
        "error": (500, soap.fault("Server", seen)),
        "refused": (401, soap.fault("Client", seen)),
    }
    return answer(*said[how], kind="text/xml") if how in said else None


def transport(name: str, base: str) -> Transport:
    grant = Grant(f"{base}/token", "password" if name == "json with a password" else "client_credentials")
    made: dict[str, Transport] = {
        "post": Post(f"{base}/api/"),
        "get": Get(f"{base}/api/"),
        "basic": Basic(f"{base}/api/"),
        "basic by GET": Basic(f"{base}/api/", "GET"),
        "soap": Soap(f"{base}/wsdl"),
    }
    return made.get(name) or JsonOAuth(f"{base}/api/", grant)


def client(name: str, base: str) -> AfilnetClient:
    return AfilnetClient(
        USER, PASSWORD, transport=transport(name, base), client_id=CLIENT, client_secret=SECRET, read_timeout=10
    )


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with listening(echo) as port:
        yield f"http://127.0.0.1:{port}"


def shown(error: BaseException | None) -> str:
    """All that could be read from an error, its causes and our frames."""
    found = frames_of(error) if error else ""
    while error is not None:
        found += f"{error!r} {error} {vars(error)}"
        error = error.__cause__ or error.__context__
    return found


def test_what_is_said_back_holds_every_canary() -> None:
    said = as_asked("error", everything(b"", ALL))
    for secret in ALL:
        assert quote(secret).encode() in said
    with pytest.raises(AssertionError):
        assert_clean(said, "here")


@pytest.mark.parametrize("name", NAMES)
def test_no_error_and_no_reply_of_a_call_holds_a_secret(base: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)  # urllib3 tells the path of each request there
    with client(name, base) as api:
        for how in HOWS:
            parameters = {"platform": "whatsapp", "platformid": "100", "destination": f"how-{how}"}
            if how == "success":
                reply = api.call("getmessages", parameters)
                assert_clean(repr(reply) + reply.text, "a reply")
                continue
            with pytest.raises(ApiError) as caught:
                api.call("getmessages", parameters)
            assert_clean(shown(caught.value), f"the error of {how}")
        with pytest.raises(AfilsqlError) as refused:
            api.call("sendmessage", {"platform": "whatsapp", "platformid": "1", "destination": "", "message": ""})
        assert_clean(shown(refused.value), "the error of a call that was not made")
        assert_clean(repr(api) + repr(vars(api)), "the client")
    assert_clean(caplog.text + "".join(repr(r.args) for r in caplog.records), "the log of others")
    assert caplog.records, "urllib3 wrote its debug lines"


@pytest.mark.parametrize("name", ["get", "basic by GET"])
def test_a_url_that_is_too_long_is_refused_without_it(name: str) -> None:
    with client(name, "http://127.0.0.1:1") as api, pytest.raises(InvalidParameter) as caught:
        api.send_message("whatsapp", "100", "how-success", "x" * 5_000)
    assert_clean(shown(caught.value), "the error of a URL that is too long")


@pytest.mark.parametrize("name", NAMES)
def test_nobody_there_is_told_without_a_secret(name: str) -> None:
    with client(name, "https://127.0.0.1:1") as api, pytest.raises(ApiError) as caught:
        api.get_chat_channels()
    assert_clean(shown(caught.value), "the error of a call that found nobody")


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
@pytest.mark.parametrize("how", HOWS)
def test_no_error_of_a_token_endpoint_holds_a_secret(how: str, grant: Any) -> None:
    def says(connection: socket.socket) -> None:
        request = read_request(connection)
        if not request:
            return
        seen = everything(request, ALL)
        if how in ("code", "refused"):
            status = 400 if how == "code" else 401
            error = {"error": "invalid_client" if how == "code" else seen, "error_description": seen}
            connection.sendall(answer(status, json.dumps(error).encode()))
        else:
            connection.sendall(as_asked(how, seen))

    with listening(says) as port:
        made = JsonOAuth(f"http://127.0.0.1:{port}/api/", Grant(f"http://127.0.0.1:{port}/token", grant))
        with (
            AfilnetClient(
                USER, PASSWORD, transport=made, client_id=CLIENT, client_secret=SECRET, read_timeout=10
            ) as api,
            pytest.raises(ApiError) as caught,
        ):
            api.get_chat_channels()
    assert (caught.value.code or "").startswith("TOKEN_")
    assert_clean(shown(caught.value), f"the error of a token endpoint that answers {how}")


def test_no_form_of_a_login_shows_its_secrets() -> None:
    login = Login(USER, SecretStr(PASSWORD), CLIENT, SecretStr(SECRET), SecretStr(TOKEN))
    grant = Grant("https://x.example/token")
    tokens = Tokens(grant, login, lambda call: pytest.fail(repr(call)), clock=lambda: pytest.fail("not asked"))
    made = [transport(name, "https://x.example") for name in NAMES]
    for each in made:
        each.prepare(lambda call: Answer(200, {}, soap.wsdl("https://x.example/api/")))
    written = [each.call("getchatchannels", {}, login) for each in made]
    assert_clean(repr((login, vars(tokens), written)) + str(login), "a login")
    assert {PASSWORD, SECRET, TOKEN} <= set(login.secrets())


def test_a_worker_with_an_account_of_each_transport_leaves_no_trace_of_a_secret(base: str, tmp_path: Path) -> None:
    user = {"user": USER, "password": PASSWORD}
    oauth = {"transport": "json", "token_url": f"{base}/token", "client_id": CLIENT, "client_secret": SECRET}
    how: dict[str, dict[str, str]] = {
        "post": user | {"transport": "post"},
        "get": user | {"transport": "get"},
        "basic": user | {"transport": "basic"},
        "basic by GET": user | {"transport": "basic", "http_method": "GET"},
        "json": oauth,
        "json with a password": user | oauth | {"grant": "password"},
        "soap": user | {"transport": "soap", "wsdl": f"{base}/wsdl"},
    }
    url = f"sqlite:///{tmp_path / 'a.db'}"
    migrate(url)
    with open_outbox(url) as outbox:
        for name in NAMES:
            for each in HOWS:
                chat = {"platform": "whatsapp", "platformid": "100", "destination": f"how-{each}"}
                last = 9 if each == "refused" else 5
                outbox.enqueue(Request("getmessages", chat, account=name, max_attempts=1, priority=last))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")}
    environ = clean | {
        "AFILSQL_DATABASE_URL": url,
        "AFILSQL_ACCOUNTS": json.dumps({name: how[name] | {"api_url": f"{base}/api/"} for name in NAMES}),
        "AFILSQL_LOG_LEVEL": "debug",
        "AFILSQL_PROXY": "none",
        "AFILSQL_READ_TIMEOUT": "10",
        "AFILSQL_BREAKER_CALLS": "0",
    }
    command = [sys.executable, "-m", "afilsql", "worker", "--drain"]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(b"puts user and password into the URL") == 1, "get warns, once"
    with open_outbox(url) as outbox:
        counts = outbox.status().counts
        assert counts["sent"] == len(NAMES)
        assert sum(counts[s] for s in ("failed", "queued", "scheduled", "uncertain")) == len(NAMES) * (len(HOWS) - 1)
    assert_clean(done.stdout + done.stderr, "what the worker says")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert_clean(path.read_bytes(), path)
