"""Connections that know whether a request could have left, and never wait, nor read, beyond their limits.

requests reports a time-out during the TLS handshake and one after the request was sent alike; for a send it matters,
as the first is safe to repeat.
"""

from __future__ import annotations

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

from afilsql.api.bounded import AnswerReader, BoundedResponse
from afilsql.api.resolver import Resolver

#: Seconds after which an idle connection is not used again. A request that meets the server's closing
#: cannot be told from one that was processed; servers commonly close after 2 seconds or more.
IDLE_LIMIT = 1.0

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


class Connection(HTTPConnection):
    """A connection over plain HTTP.

    Args:
        resolve: Turns the host's name into addresses.
        monotonic: Seconds that never go back, for the age of an idle connection and for `sending_by`.
    """

    response_class = BoundedResponse

    def __init__(
        self, *args: Any, resolve: Resolver, monotonic: Callable[[], float] = time.monotonic, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._resolve = resolve
        self._monotonic = monotonic
        self._idle_from = 0.0
        self._idle_limit = IDLE_LIMIT
        self._reader: AnswerReader | None = None
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
