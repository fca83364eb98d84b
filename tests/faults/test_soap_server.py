"""The transport soap against servers on real sockets: how the WSDL is had, by whom, and what is done without it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from afilsql.api.client import AfilnetClient
from afilsql.api.sessions import new_session
from afilsql.api.transports import Soap
from afilsql.errors import AfilsqlError, ConfigError, NotSent
from afilsql.sandbox import SandboxServer
from afilsql.sandbox import soap as sandbox
from tests.faults.tls import Authority, listening, read_request

PASSWORD = "s3cret-Word"
XML = "text/xml; charset=utf-8"


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    head = [
        f"HTTP/1.1 {status} X",
        f"Content-Type: {XML}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Server:
    """Answers each GET with what `document` gives for its path, and each POST with a list of no channels."""

    def __init__(self, document: Callable[[str, str], bytes]) -> None:
        self._document = document
        self.gets: list[str] = []
        self.posts: list[bytes] = []
        self.base = ""

    def serve(self, connection: socket.socket) -> None:
        request = read_request(connection)
        verb, path = request.decode("latin-1").split()[:2]
        if verb == "GET":
            self.gets.append(path)
            connection.sendall(self._document(path, self.base))
        else:
            self.posts.append(request)
            answer = sandbox.answer("getchatchannels", {"status": "SUCCESS", "result": {"list": []}})
            connection.sendall(http(200, answer))


@contextmanager
def server(document: Callable[[str, str], bytes]) -> Iterator[Server]:
    served = Server(document)
    with listening(served.serve) as port:
        served.base = f"http://127.0.0.1:{port}/api/soap/"
        yield served


def described(_path: str, base: str) -> bytes:
    return http(200, sandbox.wsdl(base))


def client(base: str, **options: object) -> AfilnetClient:
    transport = Soap(base + "?wsdl", **options)  # type: ignore[arg-type]
    return AfilnetClient("ana", PASSWORD, transport=transport, read_timeout=5.0, connect_timeout=5.0)


def failure(document: Callable[[str, str], bytes] | bytes, **options: object) -> AfilsqlError:
    """The error of a call whose WSDL cannot be used; the server got no call."""
    with (
        server(document if callable(document) else lambda *_: document) as served,
        client(served.base, **options) as api,
    ):
        with pytest.raises(AfilsqlError) as caught:
            api.get_chat_channels()
        assert served.posts == []
    assert isinstance(caught.value, NotSent | ConfigError)
    return caught.value


def test_the_wsdl_is_read_with_the_first_call_and_once() -> None:
    with server(described) as served, client(served.base) as api:
        assert served.gets == []
        assert api.url == served.base + "?wsdl"
        assert api.get_chat_channels().rows == api.get_chat_channels().rows == ()
        assert (served.gets, len(served.posts)) == (["/api/soap/?wsdl"], 2)
        assert api.url == served.base
    assert all(request.startswith(b"POST /api/soap/ HTTP/1.1") for request in served.posts)


def test_threads_that_come_while_the_wsdl_is_read_wait_for_it_and_each_gets_its_own_answer() -> None:
    def call(api: AfilnetClient, number: int) -> list[str | None]:
        destination = f"3500000{number:04}"
        api.send_message("whatsapp", "100", destination, f"message {number}")
        return [row["message"] for row in api.get_messages("whatsapp", "100", destination).dicts()]

    with SandboxServer() as api_server, ThreadPoolExecutor(32) as pool:
        transport = Soap(f"{api_server.base_url}/api/soap/?wsdl")
        with AfilnetClient("demo", "demo", transport=transport) as api:
            found = list(pool.map(lambda number: call(api, number), range(200)))
    assert found == [[f"message {number}"] for number in range(200)]


def test_a_wsdl_that_fails_is_asked_for_once_by_all_who_wait_and_again_by_the_next_call() -> None:
    waiting = threading.Barrier(8)
    failures = [http(500)]

    def document(path: str, base: str) -> bytes:
        if not failures:
            return described(path, base)
        time.sleep(0.3)  # lets the others, who have passed the barrier, come to wait for this answer
        return failures.pop()

    def call(api: AfilnetClient) -> str:
        waiting.wait(10)
        try:
            api.get_chat_channels()
        except NotSent as error:
            return str(error.code)
        return "sent"

    with server(document) as served, client(served.base) as api, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(call, [api] * 8)) <= {"WSDL", "sent"}
        assert len(served.gets) <= 2
        assert api.get_chat_channels().rows == ()
        assert len(served.gets) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_wsdl_that_cannot_be_had_at_present_is_tried_again_later(status: int) -> None:
    error = failure(http(status, b"", "Retry-After: 17"))
    assert isinstance(error, NotSent)
    assert (error.code, error.status, error.retry_after) == ("WSDL", status, 17.0)


@pytest.mark.parametrize("document", [b"", http(200, b"x" * 100)[:-50]], ids=["nothing", "half"])
def test_a_wsdl_that_breaks_off_was_no_call(document: bytes) -> None:
    error = failure(document)
    assert isinstance(error, NotSent)
    assert (error.code, "CONNECTION_BROKEN" in str(error), "nothing was sent" in str(error)) == ("WSDL", True, True)


def test_a_wsdl_without_end_is_not_read_to_the_end() -> None:
    assert "ANSWER_TOO_LARGE" in str(failure(http(200, b"<!-- " + b"x" * 6_000_000)))


@pytest.mark.parametrize("answer", [http(404), http(403), http(301, b"", "Location: /other"), http(200, b"<html/>")])
def test_an_address_without_a_wsdl_is_a_setting_to_correct(answer: bytes) -> None:
    error = failure(answer)
    assert isinstance(error, ConfigError)
    assert "setting wsdl" in str(error)


def test_a_server_that_is_not_there_is_told_as_for_any_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with client(f"http://127.0.0.1:{port}/") as api, pytest.raises(NotSent) as caught:
        api.get_chat_channels()
    assert caught.value.code == "CONNECT"


def test_a_wsdl_that_names_another_host_gets_no_password_unless_a_setting_says_so() -> None:
    with server(described) as other:
        elsewhere = other.base.replace("127.0.0.1", "localhost")
        error = failure(http(200, sandbox.wsdl(elsewhere)))
        assert "set api_url" in str(error)
        with server(lambda *_: http(200, sandbox.wsdl(elsewhere))) as served, client(served.base, url=elsewhere) as api:
            assert api.get_chat_channels().rows == ()
    assert len(other.posts) == 1


def test_a_wsdl_imports_from_its_own_server_only_and_not_without_end() -> None:
    def importing(place: Callable[[str], str]) -> Callable[[str, str], bytes]:
        def document(path: str, base: str) -> bytes:
            imported = f'<import namespace="urn:{place(path)}" location="{place(path)}"/>'
            return http(200, f'<definitions xmlns="http://schemas.xmlsoap.org/wsdl/">{imported}</definitions>'.encode())

        return document

    for place in ("http://127.0.0.2:9/x", "file:///etc/hostname", "http://schemas.xmlsoap.org/wsdl/soap"):
        assert "from another host" in str(failure(importing(lambda _path, place=place: place)))  # type: ignore[misc]
    assert "more than 20 documents" in str(failure(importing(lambda path: path.partition("?")[0] + "x")))


def test_the_wsdl_goes_through_the_same_tls_as_calls(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    context = authority.context()
    served = Server(lambda path, base: http(200, sandbox.wsdl(base)))

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            served.serve(secure)

    with listening(serve) as port:
        served.base = f"https://localhost:{port}/api/soap/"
        for bundle, works in ((authority.bundle, True), (other.bundle, False)):
            session = new_session(2, proxy="none")
            transport = Soap(served.base + "?wsdl")
            with (
                session,
                AfilnetClient("ana", PASSWORD, transport=transport, verify=str(bundle), session=session) as api,
            ):
                if works:
                    assert api.get_chat_channels().rows == ()
                else:
                    with pytest.raises(NotSent) as caught:
                        api.get_chat_channels()
                    assert caught.value.code == "TLS"
    assert (len(served.gets), len(served.posts)) == (1, 1)
    assert PASSWORD not in "".join(served.gets)
