"""Whatever a server answers, a call ends in a Reply or an ApiError, and the password is nowhere in it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from queue import SimpleQueue

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afilsql.api.answers import Answer, Mask, understand
from afilsql.api.client import AfilnetClient
from afilsql.api.methods import METHODS
from afilsql.api.reply import Reply
from afilsql.errors import ApiError

SECRET = 'pl"nted/ñ&?'
NOW = datetime(2026, 1, 1, tzinfo=UTC)

WORDS = st.sampled_from(["status", "SUCCESS", "error", "result", "list", "sent", "issent", "message", SECRET, "\x00"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(st.characters(), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["SUCCESS", "error", " Error ", 1, None]),
        "error": st.one_of(st.sampled_from(["CHAT_NOT_FOUND", "MISSING_USER", SECRET]), VALUES),
        "result": st.one_of(VALUES, st.fixed_dictionaries({"list": st.lists(VALUES, max_size=4)})),
    },
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda value, ascii: json.dumps(value, ensure_ascii=ascii).encode("utf-8", "surrogatepass"),
              st.one_of(SHAPED, VALUES), st.booleans()),
    st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5_000, b'"' + b"\\" * 999]),
)  # fmt: skip


def held(outcome: Reply | ApiError) -> str:
    """Everything of an outcome that reaches a log, a table or a person."""
    if isinstance(outcome, Reply):
        return outcome.text
    return f"{outcome} {outcome.code} {outcome.body}"


@given(st.sampled_from(list(METHODS)), st.integers(100, 599), BODIES, st.none() | st.text(max_size=40))
def test_any_answer_is_a_reply_or_an_api_error(method: str, status: int, body: bytes, retry_after: str | None) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    outcome: Reply | ApiError
    try:
        outcome = understand(method, Answer(status, headers, body), mask=Mask(SECRET), now=NOW)
    except ApiError as error:
        outcome = error
        assert error.retry_after is None or 0 <= error.retry_after <= 3600
    text = held(outcome)
    assert SECRET not in text
    assert json.dumps(SECRET)[1:-1] not in text
    assert "\x00" not in text
    text.encode()
    if isinstance(outcome, Reply):
        json.dumps(outcome.dicts(), ensure_ascii=False).encode()


@pytest.fixture(scope="module")
def raw_server() -> Iterator[tuple[str, SimpleQueue[bytes]]]:
    """A server that answers each connection with the bytes next in the queue and hangs up."""
    answers: SimpleQueue[bytes] = SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(2)
                    request = b""
                    while b"\r\n\r\n" not in request or not request.endswith(b"message=hi"):
                        request += connection.recv(65536)
                    connection.sendall(answers.get())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/", answers
        server.shutdown(socket.SHUT_RDWR)


HEADERS = st.sampled_from(
    [b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: x", b"Transfer-Encoding: chunked",
     b"Content-Encoding: gzip", b"Content-Encoding: br", b"Location: http://[", b"Retry-After: 9e9", b"Set-Cookie: a=b",
     b": ", b"\xff\xfe: \x00", b"Content-Type: text/html; charset=none"]
)  # fmt: skip
ANSWERS = st.one_of(
    st.binary(max_size=100),
    st.builds(
        lambda status, headers, body: b"HTTP/1.1 " + status + b"\r\n" + b"\r\n".join([*headers, b"", body]),
        st.sampled_from([b"200 OK", b"200", b"100 Continue", b"302 Found", b"503 x", b"999 \xff", b"x", b"0"]),
        st.lists(HEADERS, max_size=4),
        st.one_of(BODIES, st.sampled_from([b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"ffffffffff\r\n", b"\x1f\x8b\x08"])),
    ),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANSWERS)
def test_any_bytes_on_the_wire_are_a_reply_or_an_api_error(
    raw_server: tuple[str, SimpleQueue[bytes]], answer: bytes
) -> None:
    url, answers = raw_server
    answers.put(answer)
    outcome: Reply | ApiError
    with AfilnetClient("demo", SECRET, url=url, read_timeout=2.0) as client:
        try:
            outcome = client.send_message("whatsapp", "100", "346", "hi")
        except ApiError as error:
            outcome = error
    assert SECRET not in held(outcome)
