"""Access tokens: one fetch for all threads, renewed in time and once refused, and what a token endpoint may answer."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests
from pydantic import SecretStr

from afilsql.api.answers import Answer
from afilsql.api.client import AfilnetClient
from afilsql.api.tokens import COOL_DOWN, COOL_DOWN_MAX, MARGIN, Tokens
from afilsql.api.transports import HttpCall, JsonOAuth, Login
from afilsql.api.transports.oauth import MAX_LIFETIME, Grant, token_of
from afilsql.errors import ApiError, CredentialsRefused, DeliveryUnknown, NotSent
from afilsql.sandbox import SandboxServer
from tests.faults.tls import listening, read_request
from tests.patience import PATIENCE

THREADS = 32
NOW = datetime(2026, 11, 24, tzinfo=UTC)
CHAT = {"platform": "whatsapp", "platformid": "100", "destination": "1"}
LOGIN = Login("demo", SecretStr("demo"), "demo", SecretStr("demo"))
GRANT = Grant("https://x.example/token")


def client(server: SandboxServer, grant: Any = "client_credentials", **options: Any) -> AfilnetClient:
    given: dict[str, Any] = {"user": "demo", "password": "demo", "client_id": "demo", "client_secret": "demo"}
    transport = JsonOAuth(server.url_of("json"), Grant(server.token_url, grant))
    return AfilnetClient(transport=transport, **(given | {"read_timeout": 20.0} | options))


def at_once(work: Callable[[], Any]) -> list[Any]:
    """Do the same in many threads that begin together; return results and exceptions."""
    ready = threading.Barrier(THREADS)

    def one(_: int) -> Any:
        ready.wait(PATIENCE)
        try:
            return work()
        except ApiError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
def test_32_threads_share_one_token_and_one_new_one_when_it_is_revoked(grant: str) -> None:
    with SandboxServer() as server, client(server, grant) as api:
        assert not [e for e in at_once(api.get_chat_channels) if isinstance(e, ApiError)]
        assert server.sandbox.oauth.issued == 1
        server.sandbox.oauth.revoke_all()
        assert not [e for e in at_once(lambda: api.send_message(**CHAT, message="Hi")) if isinstance(e, ApiError)]
        assert server.sandbox.oauth.issued == 2
        assert len(server.received) == 2 * THREADS, "and each call was carried out once"


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
def test_a_token_is_renewed_when_it_expires(grant: str) -> None:
    with SandboxServer(token_seconds=1) as server, client(server, grant) as api:
        for _ in range(2):
            api.get_chat_channels()
            time.sleep(1.05)
        api.get_chat_channels()
        assert server.sandbox.oauth.issued == 3
        assert len(server.received) == 3


def test_a_revoked_refresh_token_leaves_the_grant() -> None:
    with SandboxServer() as server, client(server, "password") as api:
        api.get_chat_channels()
        server.sandbox.oauth.revoke_all(refresh=True)
        api.get_chat_channels()
        assert server.sandbox.oauth.issued == 2


def test_a_token_revoked_by_the_endpoint_is_good_no_more() -> None:
    with SandboxServer() as server:
        form = {"grant_type": "client_credentials"}
        got = requests.post(server.token_url, data=form, auth=("demo", "demo"), timeout=PATIENCE)
        assert got.headers["Cache-Control"] == "no-store"
        bearer = {"Authorization": f"Bearer {got.json()['access_token']}"}
        call = {"class": "chat", "method": "getchatchannels"}
        assert requests.post(server.url_of("json"), json=call, headers=bearer, timeout=PATIENCE).status_code == 200
        revoke = {"token": got.json()["access_token"]}
        url = server.base_url + "/oauth/revoke"
        assert requests.post(url, data=revoke, auth=("demo", "wrong"), timeout=PATIENCE).status_code == 401
        assert requests.post(server.url_of("json"), json=call, headers=bearer, timeout=PATIENCE).status_code == 200
        assert requests.post(url, data=revoke, auth=("demo", "demo"), timeout=PATIENCE).status_code == 200
        refused = requests.post(server.url_of("json"), json=call, headers=bearer, timeout=PATIENCE)
        assert refused.status_code == 401
        assert "invalid_token" in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("form", "login", "status", "error"),
    [
        ({}, ("demo", "demo"), 400, "invalid_request"),
        ({"grant_type": "code"}, ("demo", "demo"), 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, ("demo", "wrong"), 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, None, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "scope": "sms"}, ("demo", "demo"), 400, "invalid_scope"),
        ({"grant_type": "client_credentials", "client_secret": "demo"}, ("demo", "demo"), 400, "invalid_request"),
        ({"grant_type": "password"}, ("demo", "demo"), 400, "invalid_request"),
        ({"grant_type": "password", "username": "demo", "password": "x"}, ("demo", "demo"), 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, ("demo", "demo"), 400, "invalid_grant"),
    ],
)
def test_the_sandbox_refuses_token_requests_as_the_rfc_says(
    form: dict[str, str], login: tuple[str, str] | None, status: int, error: str
) -> None:
    with SandboxServer() as server:
        answer = requests.post(server.token_url, data=form, auth=login, timeout=PATIENCE)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


def test_the_sandbox_takes_a_client_in_the_body_and_a_refresh_token_once() -> None:
    who = {"client_id": "demo", "client_secret": "demo"}
    with SandboxServer() as server:
        form = who | {"grant_type": "password", "username": "demo", "password": "demo"}
        first = requests.post(server.token_url, data=form, timeout=PATIENCE).json()
        again = who | {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        statuses = [requests.post(server.token_url, data=again, timeout=PATIENCE).status_code for _ in range(2)]
    assert statuses == [200, 400]


def test_a_client_without_a_secret_may_use_the_grant_password() -> None:
    with SandboxServer(clients={"app": ""}) as server:
        with client(server, "password", client_id="app", client_secret="") as api:
            api.get_chat_channels()
        assert server.received[-1]["user"] == "demo"


@pytest.mark.parametrize(
    ("options", "grant", "code"),
    [
        ({"client_secret": "wrong"}, "client_credentials", "TOKEN_INVALID_CLIENT"),
        ({"password": "wrong"}, "password", "TOKEN_INVALID_GRANT"),
    ],
)
def test_wrong_credentials_hold_the_account(options: dict[str, str], grant: str, code: str) -> None:
    with SandboxServer() as server, client(server, grant, **options) as api:
        with pytest.raises(CredentialsRefused) as caught:
            api.send_message(**CHAT, message="Hi")
        assert caught.value.code == code
        assert not server.received


def test_a_user_that_is_gone_is_refused_although_its_token_is_good() -> None:
    accounts = {"demo": "demo"}
    with SandboxServer(accounts=accounts) as server, client(server) as api:
        api.get_chat_channels()
        del accounts["demo"]
        with pytest.raises(CredentialsRefused) as caught:
            api.get_chat_channels()
    assert caught.value.code == "INCORRECT_USER_PASSWORD"


class Endpoints:
    """An API and a token endpoint on one port, that answer as told and keep what they were asked.

    Args:
        token: Head and body of the token endpoint's answer; None closes without one.
        api: Of the API's.
    """

    def __init__(self, token: tuple[str, bytes] | None, api: tuple[str, bytes]) -> None:
        self.answers = {b"/token": token, b"/api/": api}
        self.asked: list[bytes] = []
        self.requests: list[bytes] = []

    def serve(self, connection: socket.socket) -> None:
        request = read_request(connection)
        if not request:
            return
        path = request.split(b" ")[1]
        self.asked.append(path)
        self.requests.append(request)
        answer = self.answers[path]
        if answer is not None:
            head, body = answer
            connection.sendall(
                f"HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )


def of(port: int) -> JsonOAuth:
    return JsonOAuth(f"http://127.0.0.1:{port}/api/", Grant(f"http://127.0.0.1:{port}/token"))


GOOD = ("200 OK", json.dumps({"access_token": "t0ken", "token_type": "bearer", "expires_in": 60}).encode())


def test_a_token_refused_twice_is_the_accounts_fault_and_the_call_was_tried_twice() -> None:
    endpoints = Endpoints(GOOD, ("401 Unauthorized", b""))
    with (
        listening(endpoints.serve) as port,
        AfilnetClient(transport=of(port), client_id="c", client_secret="s") as api,
        pytest.raises(CredentialsRefused) as caught,
    ):
        api.send_message(**CHAT, message="Hi")
    assert caught.value.code == "HTTP_401"
    assert endpoints.asked == [b"/token", b"/api/", b"/token", b"/api/"]


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "TOKEN_CONNECTION_BROKEN"),
        (("200 OK", b"<p>Hello"), "TOKEN_BAD_ANSWER"),
        (("200 OK", b"x" * 200_000), "TOKEN_ANSWER_TOO_LARGE"),
        (("302 Found\r\nLocation: /api/", b""), "TOKEN_REDIRECTED"),
    ],
)
def test_a_token_endpoint_that_fails_sends_nothing_to_the_api(token: tuple[str, bytes] | None, code: str) -> None:
    endpoints = Endpoints(token, GOOD)
    with (
        listening(endpoints.serve) as port,
        AfilnetClient(transport=of(port), client_id="c", client_secret="s", read_timeout=10) as api,
        pytest.raises(NotSent, match="nothing was sent to the API") as caught,
    ):
        api.send_message(**CHAT, message="Hi")
    assert caught.value.code == code
    assert endpoints.asked == [b"/token"]


def test_client_and_scope_are_sent_as_the_rfc_says() -> None:
    endpoints = Endpoints(GOOD, ("200 OK", b'{"status": "SUCCESS", "result": {}}'))
    with listening(endpoints.serve) as port:
        transport = JsonOAuth(f"http://127.0.0.1:{port}/api/", Grant(f"http://127.0.0.1:{port}/token", scope="a b"))
        with AfilnetClient(transport=transport, client_id="c:1", client_secret="s é") as api:
            api.send_message(**CHAT, message="Hi")
    token, call = endpoints.requests
    assert b"Basic " + base64.b64encode(b"c%3A1:s+%C3%A9") in token
    assert parse_qs(token.partition(b"\r\n\r\n")[2]) == {b"grant_type": [b"client_credentials"], b"scope": [b"a b"]}
    assert b"Authorization: Bearer t0ken\r\n" in call


# --- the cache by itself, with a clock and an endpoint of the test's own


class Clock:
    """Seconds that go on when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Endpoint:
    """A token endpoint that counts: tokens t1, t2, … or what `fails` says."""

    def __init__(self, lifetime: int | None = 100, *, refresh: bool = False) -> None:
        self.lifetime = lifetime
        self.refresh = refresh
        self.fails: Answer | ApiError | None = None
        self.calls: list[dict[str, list[str]]] = []

    def __call__(self, call: HttpCall) -> Answer:
        self.calls.append(parse_qs(call.body.get_secret_value().decode()))
        if isinstance(self.fails, ApiError):
            raise self.fails
        if self.fails is not None:
            return self.fails
        said: dict[str, object] = {"access_token": f"t{len(self.calls)}", "token_type": "Bearer"}
        if self.lifetime is not None:
            said["expires_in"] = self.lifetime
        if self.refresh:
            said["refresh_token"] = f"r{len(self.calls)}"
        return Answer(200, {}, json.dumps(said).encode())


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()


def tokens(endpoint: Callable[[HttpCall], Answer], clock: Clock, grant: Grant = GRANT) -> Tokens:
    return Tokens(grant, LOGIN, endpoint, clock=lambda: NOW, monotonic=clock)


def value(token: SecretStr) -> str:
    return token.get_secret_value()


@pytest.mark.parametrize(("lifetime", "margin"), [(100, 10.0), (3600, MARGIN)])
def test_a_token_is_renewed_before_it_expires(clock: Clock, lifetime: int, margin: float) -> None:
    kept = tokens(Endpoint(lifetime), clock)
    assert value(kept.get()) == "t1"
    clock.now += lifetime - margin - 0.1
    assert value(kept.get()) == "t1"
    clock.now += 0.2
    assert value(kept.get()) == "t2"


def test_an_endpoint_that_is_away_is_not_noticed_while_the_token_is_good(clock: Clock) -> None:
    endpoint = Endpoint(100)
    kept = tokens(endpoint, clock)
    kept.get()
    endpoint.fails = NotSent("away", code="CONNECT")
    clock.now += 95
    assert value(kept.get()) == "t1"
    clock.now += 5.1
    with pytest.raises(NotSent, match="to the API") as caught:
        kept.get()
    assert caught.value.code == "TOKEN_CONNECT"
    endpoint.fails = None
    clock.now += COOL_DOWN
    assert value(kept.get()) == f"t{len(endpoint.calls)}"


def test_who_has_a_good_token_does_not_wait_for_the_one_who_renews_it(clock: Clock) -> None:
    endpoint, asked, go_on = Endpoint(100), threading.Event(), threading.Event()

    def slow(call: HttpCall) -> Answer:
        if endpoint.calls:
            asked.set()
            assert go_on.wait(PATIENCE)
        return endpoint(call)

    kept = tokens(slow, clock)
    kept.get()
    clock.now += 95
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(kept.get)
        assert asked.wait(PATIENCE)
        assert value(kept.get()) == "t1"
        go_on.set()
        assert value(renewing.result(20)) == "t2"
    assert value(kept.get()) == "t2"


def test_a_refresh_token_is_used_and_kept_and_the_grant_again_when_it_is_refused(clock: Clock) -> None:
    endpoint = Endpoint(100, refresh=True)
    kept = tokens(endpoint, clock, Grant("https://x.example/token", "password"))
    kept.get()
    endpoint.refresh = False
    for _ in range(2):  # an answer without a new one leaves the old
        clock.now += 101
        kept.get()
    assert [call["grant_type"][0] for call in endpoint.calls] == ["password", "refresh_token", "refresh_token"]
    assert [call["refresh_token"] for call in endpoint.calls[1:]] == [["r1"], ["r1"]]

    def refuses_refresh(call: HttpCall) -> Answer:
        if b"refresh_token" in call.body.get_secret_value():
            endpoint.calls.append({})
            return Answer(400, {}, b'{"error": "invalid_grant"}')
        return endpoint(call)

    endpoint.refresh = True
    kept = tokens(refuses_refresh, clock, Grant("https://x.example/token", "password"))
    kept.get()
    clock.now += 101
    assert value(kept.get()) == f"t{len(endpoint.calls)}"


def test_a_token_without_a_lifetime_is_kept_until_it_is_refused(clock: Clock) -> None:
    endpoint = Endpoint(None)
    kept = tokens(endpoint, clock)
    kept.get()
    clock.now += MAX_LIFETIME / 2
    first = kept.get()
    assert value(first) == "t1"
    assert value(kept.instead_of(first)) == "t2"
    assert value(kept.instead_of(first)) == "t2", "refused to another thread, which comes late"


@pytest.mark.parametrize(
    ("fails", "kind", "wait"),
    [
        (NotSent("away", code="CONNECT"), NotSent, COOL_DOWN),
        (DeliveryUnknown("late", code="TIMEOUT"), NotSent, COOL_DOWN),
        (Answer(400, {}, b'{"error": "invalid_client"}'), CredentialsRefused, COOL_DOWN),
        (Answer(503, {"Retry-After": "20"}), NotSent, 20.0),
        (Answer(503, {"Retry-After": "2000"}), NotSent, COOL_DOWN_MAX),
    ],
)
def test_a_failure_is_everybodys_for_a_moment(
    clock: Clock, fails: Answer | ApiError, kind: type[ApiError], wait: float
) -> None:
    endpoint = Endpoint()
    endpoint.fails = fails
    kept = tokens(endpoint, clock)
    failures = at_once(kept.get)
    assert {type(error) for error in failures} == {kind}
    assert len({id(error) for error in failures}) == THREADS, "each thread has an exception of its own"
    assert len(endpoint.calls) == 1
    clock.now += wait - 0.1
    with pytest.raises(kind) as caught:
        kept.get()
    assert len(endpoint.calls) == 1
    assert caught.value.retry_after is None or caught.value.retry_after == pytest.approx(0.1)
    endpoint.fails = None
    clock.now += 0.2
    assert value(kept.get()) == "t2"


def said(**fields: object) -> bytes:
    return json.dumps({"access_token": "t", "token_type": "Bearer", **fields}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, b'{"error": "invalid_client"}', CredentialsRefused, "TOKEN_INVALID_CLIENT"),
        (200, b'{"error": "invalid_grant"}', CredentialsRefused, "TOKEN_INVALID_GRANT"),
        (401, b'{"error": "unauthorized_client"}', CredentialsRefused, "TOKEN_UNAUTHORIZED_CLIENT"),
        (400, b'{"error": "unsupported_grant_type"}', CredentialsRefused, "TOKEN_UNSUPPORTED_GRANT_TYPE"),
        (400, b'{"error": "invalid_scope"}', CredentialsRefused, "TOKEN_INVALID_SCOPE"),
        (400, b'{"error": "s3cret"}', CredentialsRefused, "TOKEN_HTTP_400"),
        (400, b'{"error": ["s3cret"]}', CredentialsRefused, "TOKEN_HTTP_400"),
        (401, b"<p>s3cret", CredentialsRefused, "TOKEN_HTTP_401"),
        (403, b"", CredentialsRefused, "TOKEN_HTTP_403"),
        (404, b"", NotSent, "TOKEN_HTTP_404"),
        (407, b"", NotSent, "TOKEN_HTTP_407"),
        (301, b"", NotSent, "TOKEN_REDIRECTED"),
        (429, b"", NotSent, "TOKEN_HTTP_429"),
        (500, b'{"error": "invalid_client"}', NotSent, "TOKEN_HTTP_500"),
        (200, b"", NotSent, "TOKEN_BAD_ANSWER"),
        (200, b"\xff", NotSent, "TOKEN_BAD_ANSWER"),
        (200, b"[]", NotSent, "TOKEN_BAD_ANSWER"),
        (200, b"7", NotSent, "TOKEN_BAD_ANSWER"),
        (200, b"[" * 100_000, NotSent, "TOKEN_BAD_ANSWER"),
        (200, said(access_token=None), NotSent, "TOKEN_BAD_ANSWER"),
        (200, said(access_token="s3cret\r\nX: y"), NotSent, "TOKEN_BAD_ANSWER"),
        (200, said(access_token="s3cret ñ"), NotSent, "TOKEN_BAD_ANSWER"),
        (200, said(token_type="mac"), NotSent, "TOKEN_BAD_ANSWER"),
        (200, said(expires_in="soon"), NotSent, "TOKEN_BAD_ANSWER"),
        (299, b'{"status": "SUCCESS", "result": {}}', NotSent, "TOKEN_BAD_ANSWER"),
        (418, said(), NotSent, "TOKEN_BAD_ANSWER"),
    ],
)
def test_each_answer_of_a_token_endpoint_is_the_error_it_should_be(
    status: int, body: bytes, kind: type[ApiError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        token_of(GRANT, Answer(status, {"Retry-After": "7"}, body), now=NOW)
    error = caught.value
    assert (type(error), error.code, error.status, error.body) == (kind, code, status, "")
    assert "x.example" in str(error)
    assert "s3cret" not in str(error)
    assert error.retry_after == (7.0 if status == 429 else None)


@pytest.mark.parametrize(
    ("fields", "lifetime"),
    [
        ({}, MAX_LIFETIME),
        ({"expires_in": None}, MAX_LIFETIME),
        ({"expires_in": "90"}, 90.0),
        ({"expires_in": 90.7}, 90.0),
        ({"expires_in": 0}, MAX_LIFETIME),  # some mean never by it, and oauthlib reads it so
        ({"expires_in": -5}, 1.0),
        ({"expires_in": 10**400}, MAX_LIFETIME),
        ({"token_type": "BEARER", "scope": "other"}, MAX_LIFETIME),
    ],
)
def test_a_token_is_taken_with_whatever_lifetime_it_has(fields: dict[str, object], lifetime: float) -> None:
    token = token_of(Grant("https://x.example/token", scope="asked"), Answer(200, {}, said(**fields)), now=NOW)
    assert (value(token.access), token.refresh, token.lifetime) == ("t", None, lifetime)
