"""Connections that know whether a request could have left, and never wait, nor read, beyond their limits.

requests reports a time-out during the TLS handshake and one after the request was sent alike, and counts
its read time-out anew for every byte. For a send both matter: the first is safe to repeat, and a server
that drips one byte a second would hold a sender for ever.
"""

from __future__ import annotations

import http.client
import io
import math
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError
from urllib3.util.connection import create_connection
from urllib3.util.timeout import Timeout

from afilsql.api.resolver import Resolver

#: Seconds after which an idle connection is not used again. A request that meets the server's closing
#: cannot be told from one that was processed; servers commonly close after 2 seconds or more.
IDLE_LIMIT = 1.0

#: Largest head of an answer, in bytes, with the interim answers (1xx) before it; servers commonly allow 8 or 16 KB.
HEAD_LIMIT = 65_536

_LINE_LIMIT = 65_537
_KEEP_ALIVE = re.compile(r"timeout *= *([0-9]{1,9})")


#: Why no connection came about.
Reason = Literal[
    "name",  # the host's name has no address
    "refused",
    "unreachable",
    "time-out",
    "proxy",  # it cannot be reached
    "proxy-login",
    "proxy-refused",
    "certificate-expired",  # or not valid yet
    "certificate-name",
    "certificate-untrusted",
    "tls-version",
    "no-tls",
    "tls",  # anything else about it
]

_CERTIFICATE: dict[int, Reason] = {
    9: "certificate-expired",  # X509_V_ERR_CERT_NOT_YET_VALID
    10: "certificate-expired",  # X509_V_ERR_CERT_HAS_EXPIRED
    62: "certificate-name",  # X509_V_ERR_HOSTNAME_MISMATCH
    64: "certificate-name",  # X509_V_ERR_IP_ADDRESS_MISMATCH
}
#: What OpenSSL says to a server that speaks older versions, and to one that speaks no TLS.
_HANDSHAKE: dict[str, Reason] = {
    "TLSV1_ALERT_PROTOCOL_VERSION": "tls-version",
    "UNSUPPORTED_PROTOCOL": "tls-version",
    "WRONG_SSL_VERSION": "tls-version",
    "WRONG_VERSION_NUMBER": "no-tls",
    "RECORD_LAYER_FAILURE": "no-tls",
    "PACKET_LENGTH_TOO_LONG": "no-tls",
    "HTTP_REQUEST": "no-tls",
}


class ConnectError(Exception):
    """No connection came about, so nothing of the request left this machine.

    Not an OSError nor an error of requests or urllib3, so that it passes both untouched.
    """

    def __init__(self, code: str, text: str, reason: Reason | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason


class TooLateError(Exception):
    """The request's time was over before its first byte left. Passes requests and urllib3 as ConnectError does."""


#: requests hands nothing of a caller's own down to its connections.
_SEND_BY: ContextVar[float] = ContextVar("send_by", default=math.inf)


@contextmanager
def sending_by(monotonic: float) -> Iterator[None]:
    """Have a request that this thread makes leave before this time, in seconds of time.monotonic, or not at all.

    Looked at when the connection stands and the request is written, so that a machine that stood still between an
    earlier look and the sending, however long, sends nothing any more.
    """
    before = _SEND_BY.set(monotonic)
    try:
        yield
    finally:
        _SEND_BY.reset(before)


class _DeadlineReader(io.RawIOBase):
    """Reads a socket, giving each read only what is left of the whole answer's time."""

    def __init__(self, inner: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._inner = inner
        self._sock = sock
        self._deadline = deadline
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.ended:
            return 0
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took longer than the read time-out")
        self._sock.settimeout(left)
        return self._inner.readinto(buffer)

    def close(self) -> None:
        self._inner.close()
        super().close()


class _AnswerReader(io.BufferedReader):
    """Reads an answer: bounds its head and every line, and notices what comes after it.

    Attributes:
        in_head: The lines being read are those of the head.
        left_over: More was received than belongs to the answer. Known once closed.
    """

    raw: _DeadlineReader

    def __init__(self, raw: _DeadlineReader) -> None:
        super().__init__(raw)
        self.in_head = True
        self.left_over = False
        self._head_left = HEAD_LIMIT

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(_LINE_LIMIT if size is None or size < 0 else size)
        if self.in_head:
            self._head_left -= len(line)
            if self._head_left < 0:
                raise http.client.HTTPException(f"the head of the answer is longer than {HEAD_LIMIT} bytes")
        return line

    def close(self) -> None:
        if not self.closed:
            self.raw.ended = True  # what was received already is looked at, and nothing waited for
            self.left_over = bool(self.peek(1))
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    reader: _AnswerReader | None = None

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        timeout = sock.gettimeout()
        if timeout is not None:
            deadline = time.monotonic() + timeout
            self.fp = self.reader = _AnswerReader(_DeadlineReader(self.fp.detach(), sock, deadline))

    def begin(self) -> None:
        super().begin()
        if self.reader is not None:
            self.reader.in_head = False

    def _read_status(self) -> tuple[str, int, str]:
        # http.client passes over 100 alone and takes any other interim answer for the answer itself; the real one
        # would then be read as the answer to the next request on this connection.
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 < found[1] < 200:
                return found
            http.client.parse_headers(self.fp)


class Connection(HTTPConnection):
    """A connection over plain HTTP.

    Args:
        resolve: Turns the host's name into addresses.
        monotonic: Seconds that never go back, for the age of an idle connection and for `sending_by`.
    """

    response_class = _BoundedResponse

    def __init__(
        self, *args: Any, resolve: Resolver, monotonic: Callable[[], float] = time.monotonic, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._resolve = resolve
        self._monotonic = monotonic
        self._idle_from = 0.0
        self._idle_limit = IDLE_LIMIT
        self._reader: _AnswerReader | None = None
        self._held: list[bytes] | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request in one piece: http.client sends head and body apart, which costs both sides twice.

        Raises:
            TooLateError: See `sending_by`.
        """
        held: list[bytes] = []
        self._held = held
        try:
            super().request(*args, **kwargs)
        finally:
            self._held = None
        if self.sock is None:
            self.connect()  # http.client would from within send
        whole, write = b"".join(held), self.sock.sendall
        # Nothing stands between: who is stopped right here sends late, and no lease can prevent that.
        if self._monotonic() > _SEND_BY.get():
            raise TooLateError
        write(whole)

    def send(self, data: Any) -> None:
        """Send, or keep for the whole request what is being written of one."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    def connect(self) -> None:
        """Connect, within the time-out for all of it: name, every address, TLS.

        Raises:
            ConnectError: For whatever reason; the request has not left yet.
        """
        try:
            super().connect()
        except ConnectError as error:
            self.close()
            error.reason = "proxy" if self.proxy else error.reason
            raise
        except Exception as error:  # noqa: BLE001 - see Raises
            self.close()
            raise _connect_failed(error, f" through the proxy {_place(self.proxy)}" if self.proxy else "") from None

    def _new_conn(self) -> socket.socket:
        timeout = Timeout.resolve_default_timeout(self.timeout)
        began = time.monotonic()

        def left() -> float | None:
            return None if timeout is None else max(0.001, began + timeout - time.monotonic())

        try:
            addresses = self._resolve(self._dns_host, self.port, timeout)
        except TimeoutError:
            raise ConnectError(
                "CONNECT_TIMEOUT", "host name not resolved within the connect time-out", "name"
            ) from None
        except (OSError, UnicodeError):
            raise ConnectError("CONNECT", "the host name cannot be resolved", "name") from None
        failure: OSError = OSError("the host name has no address")
        for number, address in enumerate(addresses):
            share = left()
            if share is not None:
                share /= len(addresses) - number  # a dead address leaves time for the next
            try:
                sock = create_connection(
                    address[4][:2], share, source_address=self.source_address, socket_options=self.socket_options
                )
            except OSError as error:
                failure = error
            else:
                sock.settimeout(left())  # for the TLS handshake
                return sock
        raise failure

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._reader = getattr(response._original_response, "reader", None)
        announced = _KEEP_ALIVE.search(response.headers.get("Keep-Alive") or "")
        self._idle_limit = min(IDLE_LIMIT, int(announced[1]) / 2) if announced else IDLE_LIMIT
        self._idle_from = self._monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        """False where using the connection again could mistake another's answer, or lose the request."""
        clean = self._reader is None or not self._reader.left_over
        return super().is_connected and clean and self._monotonic() - self._idle_from < self._idle_limit


class TlsConnection(Connection, HTTPSConnection):
    """The same over TLS."""


def _connect_failed(error: Exception, through: str) -> ConnectError:
    if isinstance(error, (ssl.SSLError, ssl.CertificateError, SSLError)):
        return ConnectError("TLS", f"the TLS handshake failed{through} ({innermost(error)})", _tls_reason(error))
    if isinstance(error, (TimeoutError, ConnectTimeoutError)) and not isinstance(error, NewConnectionError):
        reason: Reason = "proxy" if through else "time-out"
        return ConnectError("CONNECT_TIMEOUT", f"no connection within the connect time-out{through}", reason)
    refused = re.match(r"Tunnel connection failed: (\d{3})", str(error))
    if refused is not None:
        login = refused[1] == "407"
        text = f"no connection{through}, which {'wants another login' if login else 'refused'} (HTTP {refused[1]})"
        return ConnectError(f"PROXY_{refused[1]}", text, "proxy-login" if login else "proxy-refused")
    bottom = _bottom(error)
    reason = "proxy" if through else "refused" if isinstance(bottom, ConnectionRefusedError) else "unreachable"
    return ConnectError("CONNECT", f"no connection{through} ({innermost(error)})", reason)


def _tls_reason(error: Exception) -> Reason:
    bottom = _bottom(error)
    if isinstance(bottom, ssl.SSLCertVerificationError):
        return _CERTIFICATE.get(bottom.verify_code, "certificate-untrusted")
    return _HANDSHAKE.get(getattr(bottom, "reason", None) or "", "tls")


def _place(url: Any) -> str:
    """Where a proxy is, without its user and password."""
    return f"{url.host}:{url.port}"


def innermost(error: BaseException) -> str:
    """Return in a few words what went wrong at the bottom of an error."""
    error = _bottom(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _bottom(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
