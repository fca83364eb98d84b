"""A requests session that knows whether a request could have left, and never waits beyond its time.

requests reports a time-out during the TLS handshake and one after the request was sent alike, and
counts its read time-out anew for every byte. For a send both matter: the first is safe to repeat, and
a server that drips one byte a second would hold a sender for ever.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import time
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, SSLError

from afilsql import secretfiles
from afilsql.errors import ConfigError

#: Seconds after which an idle connection is not used again. Servers commonly close theirs after 5 or
#: more, and a request sent into that moment cannot be told from one that was processed.
IDLE_LIMIT = 4.0


class ConnectError(Exception):
    """No connection came about, so nothing of the request left this machine.

    Not an OSError nor an error of requests or urllib3, so that it passes both untouched.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class _DeadlineReader(io.RawIOBase):
    """Reads a socket, giving each read only what is left of the whole answer's time."""

    def __init__(self, inner: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._inner = inner
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took longer than the read time-out")
        self._sock.settimeout(left)
        return self._inner.readinto(buffer)

    def close(self) -> None:
        self._inner.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        timeout = sock.gettimeout()
        if timeout is not None:
            deadline = time.monotonic() + timeout
            self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, deadline))


class _Connection(HTTPConnection):
    response_class = _BoundedResponse
    _answered_at = 0.0

    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:  # noqa: BLE001 - whatever it is, the request has not left yet
            self.close()
            raise _connect_failed(error, f" through the proxy {_place(self.proxy)}" if self.proxy else "") from None

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._answered_at = time.monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._answered_at < IDLE_LIMIT


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_minimum_version=ssl.TLSVersion.TLSv1_2, **kwargs)
        _use_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        kwargs["ssl_minimum_version"] = ssl.TLSVersion.TLSv1_2
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        _use_pools(manager)
        return manager


def _use_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def new_session(
    pool_size: int,
    *,
    proxy: str | None = None,
    client_cert: Path | None = None,
    client_key: Path | None = None,
) -> requests.Session:
    """Return a session to be shared by threads: pooled, TLS 1.2 or later, without retries, cookies or ~/.netrc.

    Args:
        pool_size: Connections kept open.
        proxy: URL of the proxy to go through; "none" is none. None takes proxies, and REQUESTS_CA_BUNDLE, from the
            environment; with another value nothing is taken from there.
        client_cert: PEM file of the certificate to show.
        client_key: PEM file of its key; None when client_cert holds it too.

    Raises:
        ConfigError: Certificate and key cannot be used, or others can read the key.
    """
    session = requests.Session()
    adapter = _Adapter(pool_connections=4, pool_maxsize=pool_size, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    # Without an auth of its own requests looks into ~/.netrc and would send what it finds there.
    session.auth = _no_auth
    if proxy is not None:
        session.trust_env = False
        if proxy != "none":
            session.proxies = {"http": str(proxy), "https": str(proxy)}
    if client_cert is not None:
        _check_certificate(client_cert, client_key or client_cert)
        session.cert = (str(client_cert), str(client_key or client_cert))
    elif client_key is not None:
        raise ConfigError("AFILSQL_CLIENT_KEY is set without AFILSQL_CLIENT_CERT: set both")
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "afilsql"
    session.headers["Accept"] = "application/json"
    return session


def _check_certificate(cert: Path, key: Path) -> None:
    named = f"the client's key {key} (AFILSQL_CLIENT_KEY)"
    _, status = secretfiles.read(key, named)
    secretfiles.check(key, status, named, secret=True)
    try:
        # Without a password of ours OpenSSL would ask for that of an encrypted key, on a terminal nobody watches.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"AFILSQL_CLIENT_CERT and its key cannot be used ({_innermost(error)}): give two PEM files that belong "
            "together, the key without a passphrase"
        ) from None


def _connect_failed(error: Exception, through: str) -> ConnectError:
    if isinstance(error, NameResolutionError):
        return ConnectError("CONNECT", f"the host name cannot be resolved{through}")
    if isinstance(error, (ssl.SSLError, ssl.CertificateError, SSLError)):
        return ConnectError("TLS", f"the TLS handshake failed{through} ({_innermost(error)})")
    if isinstance(error, (TimeoutError, ConnectTimeoutError)) and not isinstance(error, NewConnectionError):
        return ConnectError("CONNECT_TIMEOUT", f"no connection within the connect time-out{through}")
    refused = re.match(r"Tunnel connection failed: (\d{3})", str(error))
    if refused is not None:
        what = "wants another login" if refused[1] == "407" else "refused"
        return ConnectError(f"PROXY_{refused[1]}", f"no connection{through}, which {what} (HTTP {refused[1]})")
    return ConnectError("CONNECT", f"no connection{through} ({_innermost(error)})")


def _place(url: Any) -> str:
    """Where a proxy is, without its user and password."""
    return f"{url.host}:{url.port}"


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
