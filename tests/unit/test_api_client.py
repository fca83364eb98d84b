"""The client against servers that misbehave: what each failure is called, and that no secret leaks."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest

from afilsql.api.client import AfilnetClient
from afilsql.api.connections import IDLE_LIMIT
from afilsql.api.resolver import Addresses, Resolver
from afilsql.api.sessions import new_session
from afilsql.errors import (
    ApiError,
    ConfigError,
    CredentialsRefused,
    DeliveryUnknown,
    InvalidParameter,
    NotSent,
    Refused,
    TooLate,
)

PASSWORD = 'pä"ss/ wo+rd&=<1>'
OK = b'{"status":"SUCCESS","result":{}}'
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MESSAGE = {"platform": "whatsapp", "platformid": "100", "destination": "34600000000", "message": "Hi"}


def http(status: int, body: bytes = b"", *headers: str, kind: str = "application/json") -> bytes:
    head = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def read_request(conn: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = conn.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(
        next(line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    )
    while len(body) < length:
        body += conn.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def server(act: Callable[[socket.socket], object], *, read: bool = True) -> Iterator[tuple[str, list[bytes]]]:
    """Serve every connection with `act` after reading one request; yield the URL and the requests."""
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def one(conn: socket.socket) -> None:
        with conn:
            try:
                if read:
                    requests.append(read_request(conn))
                act(conn)
            except OSError:
                pass

    def loop() -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(conn,), daemon=True).start()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/http/", requests
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(2)


def client(url: str, **options: object) -> AfilnetClient:
    return AfilnetClient("us er", PASSWORD, url=url, **({"read_timeout": 5.0, "clock": lambda: NOW} | options))  # type: ignore[arg-type]


def failure(act: Callable[[socket.socket], object] | bytes, **options: object) -> ApiError:
    def send(conn: socket.socket) -> None:
        conn.sendall(act) if isinstance(act, bytes) else act(conn)

    with server(send) as (url, _), client(url, **options) as api, pytest.raises(ApiError) as caught:
        api.call("sendmessage", MESSAGE)
    return caught.value


def error(code: str) -> bytes:
    return json.dumps({"status": "ERROR", "error": code}).encode()


def test_a_call_is_a_percent_encoded_utf8_form() -> None:
    with server(lambda conn: conn.sendall(http(200, OK))) as (url, requests), client(url) as api:
        api.call("sendmessage", MESSAGE | {"message": "ñ & 50% +1 😀\n"})
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/http/ HTTP/1.1")
    assert b"Content-Type: application/x-www-form-urlencoded; charset=UTF-8" in head
    assert body.startswith(
        b"class=chat&method=sendmessage&user=us%20er&password=p%C3%A4%22ss%2F%20wo%2Brd%26%3D%3C1%3E&"
    )
    assert body.endswith(b"&message=%C3%B1%20%26%2050%25%20%2B1%20%F0%9F%98%80%0A")


def test_a_request_leaves_in_one_piece() -> None:
    pieces: list[bytes] = []

    def keep(conn: socket.socket) -> None:
        while piece := conn.recv(65536):
            pieces.append(piece)
            conn.sendall(http(200, OK))

    with server(keep, read=False) as (url, _), client(url) as api:
        for _ in range(20):
            api.call("sendmessage", MESSAGE)
    assert len(pieces) == 20
    assert all(piece.startswith(b"POST") and piece.endswith(b"message=Hi") for piece in pieces)


def test_a_request_whose_time_is_over_once_it_could_leave_does_not() -> None:
    """However long making the connection took, or whoever stood still meanwhile."""
    arrived: list[bytes] = []
    now = [100.0]

    def slow(host: str, port: int, *_: object) -> Addresses:
        now[0] += 5.0
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]

    def keep(conn: socket.socket) -> None:
        while piece := conn.recv(65536):
            arrived.append(piece)
            conn.sendall(http(200, OK))

    with server(keep, read=False) as (url, _):
        session = new_session(1, resolve=Resolver(slow), monotonic=lambda: now[0])
        with client(url, session=session) as api:
            with pytest.raises(TooLate, match=r"^\S+: too late to send; nothing was sent$") as caught:
                api.call("sendmessage", MESSAGE, send_by=103.0)
            assert (caught.value.code, arrived) == ("TOO_LATE", [])
            api.call("sendmessage", MESSAGE, send_by=111.0)  # the connection is made anew
            with pytest.raises(TooLate):
                api.call("sendmessage", MESSAGE, send_by=109.0)  # over a connection that stands
            api.call("sendmessage", MESSAGE)
    assert len(arrived) == 2


def test_each_request_of_a_session_has_its_own_headers_and_body() -> None:
    bodies = [(b"short", "1"), (b"a longer one", "2"), (b"short", "2"), (b"", "1"), (b"last", "1")]
    with server(keep_answering) as (url, _), new_session(1) as session:
        seen = []
        for body, mark in bodies:
            with session.post(url, data=body, headers={"X-Mark": mark}) as response:
                sent = response.request
                seen.append((sent.body or b"", sent.headers["X-Mark"], sent.headers["Content-Length"]))
    assert seen == [(body, mark, str(len(body))) for body, mark in bodies]


def test_a_call_that_breaks_the_contract_is_not_sent() -> None:
    with server(lambda conn: conn.sendall(http(200, OK))) as (url, requests), pytest.raises(InvalidParameter):
        client(url).call("sendmessage", MESSAGE | {"message": None})
    assert requests == []


def test_a_closed_port_is_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(NotSent) as caught:
            client(f"http://127.0.0.1:{taken.getsockname()[1]}/").call("getchatchannels", {})
    assert caught.value.code == "CONNECT"
    assert "refused" in str(caught.value)


def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    def unknown(*_: object) -> Addresses:
        raise socket.gaierror(-2, "Name or service not known")

    session = new_session(1, resolve=Resolver(unknown))
    with pytest.raises(NotSent) as caught:
        client("https://api.invalid/", session=session).call("getchatchannels", {})
    assert caught.value.code == "CONNECT"


def test_a_name_server_that_does_not_answer_takes_no_more_than_the_connect_time_out_and_is_not_sent() -> None:
    answered = threading.Event()

    def dead(*_: object) -> Addresses:
        answered.wait(30)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    session = new_session(1, resolve=Resolver(dead))
    began = time.monotonic()
    with pytest.raises(NotSent) as caught:
        client("https://api.invalid/", session=session, connect_timeout=0.2).call("sendmessage", MESSAGE)
    took = time.monotonic() - began
    answered.set()
    assert caught.value.code == "CONNECT_TIMEOUT"
    assert "name" in str(caught.value)
    assert took < 20


def listening() -> tuple[socket.socket, Addresses]:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, [(socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())]


def test_the_time_to_connect_is_shared_by_all_addresses_of_a_name() -> None:
    full, (address,) = listening()
    with full, ExitStack() as waiting:
        full.listen(0)
        for _ in range(3):  # fills the queue of connections, so that the next one gets no answer
            stuck = waiting.enter_context(socket.socket())
            stuck.setblocking(False)
            stuck.connect_ex(full.getsockname())
        began = time.monotonic()
        session = new_session(1, resolve=Resolver(lambda *_: [address] * 4))
        with pytest.raises(NotSent) as caught:
            client("http://localhost:9/", session=session, connect_timeout=2).call("sendmessage", MESSAGE)
        assert time.monotonic() - began < 7, "not the two seconds for each of the four"
        assert caught.value.code == "CONNECT_TIMEOUT"

        with server(lambda conn: conn.sendall(http(200, OK))) as (url, requests):
            port = int(url.split(":")[2].split("/")[0])
            alive = (*address[:4], ("127.0.0.1", port))
            session = new_session(1, resolve=Resolver(lambda *_: [address, alive]))
            # create_connection takes the port from each address, as getaddrinfo gives it
            client(url, session=session, connect_timeout=2).call("sendmessage", MESSAGE)
            assert len(requests) == 1, "a dead address leaves time for the next"


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda conn: conn.sendall(b"HTTP/1.1 400 no TLS here\r\n\r\n"), "TLS"),
        (lambda conn: conn.close(), ("TLS", "CONNECT")),
        (lambda conn: time.sleep(0.6), ("CONNECT_TIMEOUT", "TLS")),
    ],
    ids=["not TLS", "closed", "hangs"],
)
def test_a_failed_tls_handshake_is_not_sent(
    act: Callable[[socket.socket], object], code: str | tuple[str, ...]
) -> None:
    with server(act, read=False) as (url, _), pytest.raises(NotSent) as caught:
        client(url.replace("http:", "https:", 1), connect_timeout=0.3).call("sendmessage", MESSAGE)
    assert caught.value.code in code


def test_a_ca_file_that_is_missing_is_not_sent() -> None:
    with pytest.raises(NotSent, match="AFILSQL_CA_BUNDLE"):
        client("https://127.0.0.1:9/", verify="/nowhere/ca.pem").call("sendmessage", MESSAGE)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 7", 7.0),
        ("Retry-After: 999999", 3600.0),
        ("Retry-After: Fri, 02 Jan 2026 03:05:05 GMT", 60.0),
        ("Retry-After: Fri, 02 Jan 2015 03:05:05 GMT", 0.0),
        ("Retry-After: soon", None),
        ("Retry-After: -5", None),
        ("X: y", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_did_not_send_and_says_when(status: int, header: str, seconds: float | None) -> None:
    caught = failure(http(status, error("CHANNEL_NOT_FOUND"), header))
    assert isinstance(caught, NotSent)
    assert (caught.code, caught.status, caught.retry_after) == (f"HTTP_{status}", status, seconds)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(301, NotSent), (302, DeliveryUnknown), (303, DeliveryUnknown), (307, NotSent), (308, NotSent)],
)
@pytest.mark.parametrize("where", ["http://127.0.0.1:1/elsewhere", "http://[", "/loop"])
def test_a_redirect_is_not_followed_and_names_the_setting(status: int, kind: type[ApiError], where: str) -> None:
    caught = failure(http(status, b"", f"Location: {where}"))
    assert type(caught) is kind
    assert caught.code == "REDIRECTED"
    assert "AFILSQL_API_URL" in str(caught)


def drip(conn: socket.socket, first: bytes) -> None:
    conn.sendall(first)
    for _ in range(400):
        conn.sendall(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize(
    "act",
    [
        lambda conn: time.sleep(0.6),
        lambda conn: (conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"), time.sleep(0.6)),
        lambda conn: drip(conn, b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
        lambda conn: drip(conn, b"HTTP/1.1 200 OK\r\nX-Slow: "),
    ],
    ids=["hangs", "hangs in the body", "drips the body", "drips the head"],
)
def test_an_answer_that_takes_too_long_leaves_delivery_unknown(act: Callable[[socket.socket], object]) -> None:
    began = time.monotonic()
    caught = failure(act, read_timeout=0.3)
    assert isinstance(caught, DeliveryUnknown)
    assert caught.code == "TIMEOUT"
    assert time.monotonic() - began < 15


def reset(conn: socket.socket, first: bytes = b"") -> None:
    conn.sendall(first)
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    conn.close()


@pytest.mark.parametrize(
    "act",
    [
        lambda conn: conn.close(),
        reset,
        lambda conn: reset(conn, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
        http(200, OK).replace(b"Length: 32", b"Length: 99"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"garbage\r\n\r\n",
    ],
)
def test_a_connection_that_breaks_leaves_delivery_unknown(act: Callable[[socket.socket], object] | bytes) -> None:
    caught = failure(act)
    assert isinstance(caught, DeliveryUnknown)
    assert caught.code == "CONNECTION_BROKEN"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (http(200, b"<html>login</html>", kind="text/html"), "NOT_JSON"),
        (http(200, b'{"status":"SUCC'), "NOT_JSON"),
        (http(200, b""), "NOT_JSON"),
        (http(200, b"[" * 200_000), "NOT_JSON"),
        (http(200, '{"status":"SUCCESS","result":"ñ"}'.encode("latin-1")), "NOT_JSON"),
        (http(200, b"[1]"), "BAD_SHAPE"),
        (http(200, b'{"status":"maybe"}'), "BAD_SHAPE"),
        (http(200, b'{"status":"ERROR"}'), "BAD_SHAPE"),
        (http(500, b"oops"), "HTTP_500"),
        (http(500, OK), "HTTP_500"),
        (http(502, b'{"status":"error","error":"Bad Gateway"}'), "HTTP_502"),
        (http(504), "HTTP_504"),
        (http(507), "HTTP_507"),
        (http(408), "HTTP_408"),
    ],
)
def test_an_answer_that_says_nothing_leaves_delivery_unknown(answer: bytes, code: str) -> None:
    caught = failure(answer)
    assert isinstance(caught, DeliveryUnknown)
    assert caught.code == code


@pytest.mark.parametrize("body", [b"[" + b"1" * 10_100_000, gzip.compress(b" " * 50_000_000)], ids=["plain", "gzip"])
def test_an_answer_too_large_is_not_read_to_its_end(body: bytes) -> None:
    headers = ["Content-Encoding: gzip"] if body[:1] != b"[" else []
    caught = failure(http(200, body, *headers))
    assert isinstance(caught, DeliveryUnknown)
    assert caught.code == "ANSWER_TOO_LARGE"
    assert len(caught.body) <= 1024


@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_a_code_of_the_api_is_refused_whatever_the_http_status(status: int) -> None:
    caught = failure(http(status, error("CHANNEL_NOT_FOUND").replace(b"ERROR", b"Error", 1)))
    assert type(caught) is Refused
    assert (caught.code, caught.status) == ("CHANNEL_NOT_FOUND", status)


def test_an_unknown_code_is_refused_and_kept_as_it_came() -> None:
    caught = failure(http(200, error("No_Credit")))
    assert type(caught) is Refused
    assert caught.code == "No_Credit"


@pytest.mark.parametrize("code", ["MISSING_USER", "MISSING_PASSWORD", "INCORRECT_USER_PASSWORD"])
def test_a_code_about_the_account_refuses_the_credentials(code: str) -> None:
    caught = failure(http(200, error(code)))
    assert isinstance(caught, CredentialsRefused)
    assert caught.code == code


@pytest.mark.parametrize("status", [401, 403])
def test_an_http_status_about_the_account_refuses_the_credentials(status: int) -> None:
    caught = failure(http(status, b"no"))
    assert isinstance(caught, CredentialsRefused)
    assert caught.code == f"HTTP_{status}"


@pytest.mark.parametrize("status", [400, 404, 413, 418])
def test_another_client_error_is_refused(status: int) -> None:
    caught = failure(http(status, b"no"))
    assert type(caught) is Refused
    assert caught.code == f"HTTP_{status}"


@pytest.mark.parametrize("status", [200, 403, 404, 500, 503])
@pytest.mark.parametrize(
    "echo",
    [PASSWORD, json.dumps(PASSWORD), "p%C3%A4%22ss%2F%20wo%2Brd%26%3D%3C1%3E", "p%c3%a4%22ss%2f+wo%2brd%26%3d%3c1%3e"],
)
def test_a_password_the_server_echoes_is_masked(status: int, echo: str) -> None:
    caught = failure(http(status, ("x" * 1010 + echo).encode()))
    assert "***" in caught.body
    shown = "".join(traceback.format_exception(caught)) + repr(vars(caught))
    assert "wo" not in caught.body
    assert PASSWORD not in shown


def test_a_password_echoed_as_the_error_code_is_masked() -> None:
    caught = failure(http(200, error(PASSWORD)))
    assert caught.code == "***"
    assert PASSWORD not in str(caught)


def test_an_exception_drags_no_request_along() -> None:
    caught = failure(lambda conn: conn.close())
    assert caught.__cause__ is None
    assert caught.__context__ is None


def test_a_reply_that_echoes_the_password_is_masked() -> None:
    body = json.dumps({"status": "SUCCESS", "result": {}, "debug": PASSWORD}).encode()
    with server(lambda conn: conn.sendall(http(200, body))) as (url, _), client(url) as api:
        assert "wo+rd" not in api.call("sendmessage", MESSAGE).text


def test_the_client_shows_neither_user_nor_password() -> None:
    shown = repr(client("http://127.0.0.1:1/"))
    assert "us er" not in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize(
    "url",
    ["http://example.org/api/", "http://127.0.0.1.example.org/", "ftp://x/", "", "https:///x", "https://a:99999/"],
)
def test_an_address_that_is_unsafe_or_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="AFILSQL_API_URL"):
        client(url)


def test_an_address_with_credentials_is_refused_without_showing_them() -> None:
    with pytest.raises(ConfigError) as caught:
        client("https://joe:hunter2@example.org/")
    assert "hunter2" not in str(caught.value)


def test_plain_http_is_allowed_to_this_machine_or_on_demand() -> None:
    for url in ("http://localhost:1/", "http://127.9.9.9/", "http://[::1]:1/"):
        client(url)
    client("http://example.org/", allow_http=True)


def test_credentials_of_netrc_and_cookies_are_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password stolen\n")
    monkeypatch.setenv("NETRC", str(netrc))
    answer = http(200, OK, "Set-Cookie: a=b; Path=/", "Connection: close")
    with server(lambda conn: conn.sendall(answer)) as (url, requests), client(url) as api:
        api.call("sendmessage", MESSAGE)
        api.call("sendmessage", MESSAGE)
    assert not any(b"\r\nAuthorization:" in r or b"\r\nCookie:" in r for r in requests)


def keep_answering(conn: socket.socket) -> None:
    conn.sendall(http(200, OK))
    while read_request(conn):
        conn.sendall(http(200, OK))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        ([], IDLE_LIMIT),
        (["Keep-Alive: timeout=100, max=5"], IDLE_LIMIT),
        (["Keep-Alive: max=5, timeout=1"], 0.5),
        (["Keep-Alive: timeout=0"], 0.0),
        (["Keep-Alive: whatever"], IDLE_LIMIT),
    ],
)
def test_a_connection_is_used_again_but_not_after_a_long_idle_time(headers: list[str], limit: float) -> None:
    def keep(conn: socket.socket) -> None:
        conn.sendall(http(200, OK, *headers))
        while read_request(conn):
            conn.sendall(http(200, OK, *headers))

    clock = Clock()
    with server(keep) as (url, opened), client(url, session=new_session(1, monotonic=clock)) as api:
        api.call("sendmessage", MESSAGE)
        clock.now += max(0.0, limit - 0.01)
        api.call("sendmessage", MESSAGE)
        assert len(opened) == (1 if limit else 2)
        clock.now += limit
        api.call("sendmessage", MESSAGE)
        assert len(opened) == (2 if limit else 3)


@pytest.mark.parametrize("extra", [http(500, b"another"), b"HTTP/1.1 404 N", b" "])
def test_a_connection_on_which_more_came_than_the_answer_is_not_used_again(extra: bytes) -> None:
    with (
        server(lambda conn: (conn.sendall(http(200, OK) + extra), read_request(conn))) as (url, opened),
        client(url) as api,
    ):
        api.call("sendmessage", MESSAGE)
        api.call("sendmessage", MESSAGE)
        assert len(opened) == 2


@pytest.mark.parametrize("interim", [b"100 Go", b"103 Hints\r\nLink: <x>", b"101 X"])
def test_an_interim_answer_is_not_taken_for_the_answer_to_this_request_nor_the_next(interim: bytes) -> None:
    def late(conn: socket.socket) -> None:
        conn.sendall(b"HTTP/1.1 " + interim + b"\r\n\r\n")
        time.sleep(0.05)
        conn.sendall(http(200, OK))
        read_request(conn)
        conn.sendall(http(404, error("CHANNEL_NOT_FOUND")))

    with server(late) as (url, opened), client(url) as api:
        assert api.call("sendmessage", MESSAGE).http_status == 200
        with pytest.raises(Refused):
            api.call("sendmessage", MESSAGE)
        assert len(opened) == 1


@pytest.mark.parametrize(
    "head",
    [b"X: " + b"." * 70_000, b"X: y\r\n" * 20_000, b"HTTP/1.1 102 Wait\r\n\r\n" * 5_000],
    ids=["a line", "lines", "interim answers"],
)
def test_a_head_without_end_leaves_delivery_unknown_long_before_the_time_out(head: bytes) -> None:
    began = time.monotonic()
    first = b"" if head.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n"
    caught = failure(lambda conn: (conn.sendall(first + head), time.sleep(1)), read_timeout=60)
    assert isinstance(caught, DeliveryUnknown)
    assert caught.code == "CONNECTION_BROKEN"
    assert time.monotonic() - began < 50


def test_an_uncompressed_answer_is_asked_for_but_a_compressed_one_is_read() -> None:
    answer = http(200, gzip.compress(OK), "Content-Encoding: gzip")
    with server(lambda conn: conn.sendall(answer)) as (url, requests), client(url) as api:
        assert api.call("sendmessage", MESSAGE).text == OK.decode()
    assert b"\r\nAccept-Encoding: identity\r\n" in requests[0]


def test_of_large_lists_a_few_are_read_at_a_time_and_each_in_the_end() -> None:
    rows = [{"platformid": "100", "platform": "whatsapp", "name": "n" * 1000}] * 2000
    body = json.dumps({"status": "SUCCESS", "result": {"list": rows}}).encode()
    with (
        server(lambda conn: conn.sendall(http(200, body, "Connection: close"))) as (url, _),
        client(url, read_timeout=60.0) as api,
        ThreadPoolExecutor(12) as pool,
    ):
        replies = list(pool.map(lambda _: api.get_chat_channels(), range(12)))
    assert {len(reply.rows) for reply in replies} == {2000}


def test_an_answer_to_a_send_is_read_less_far_than_a_list() -> None:
    caught = failure(http(200, b" " * 1_100_000 + OK))
    assert isinstance(caught, DeliveryUnknown)
    assert caught.code == "ANSWER_TOO_LARGE"


def test_a_session_passed_in_is_used_and_left_open() -> None:
    session = new_session(1)
    with server(keep_answering) as (url, opened):
        for _ in range(2):
            with client(url, session=session) as api:
                api.call("sendmessage", MESSAGE)
        assert len(opened) == 1
        session.close()
