"""A requests session for one account: pooled, bounded, and with no habits of its own."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager, ProxyManager
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from afilsql import secretfiles
from afilsql.api.connections import Connection, TlsConnection, innermost
from afilsql.api.resolver import Resolver
from afilsql.errors import ConfigError


class _WithoutLogin(logging.Filter):
    """Cuts a query that holds a password out of what urllib3 writes to its debug log: the path of every request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything through, changed where it must be."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.partition("?")[0] + "?***" if isinstance(arg, str) and "password=" in arg else arg
                for arg in record.args
            )
        return True


logging.getLogger(HTTPConnectionPool.__module__).addFilter(_WithoutLogin())


class _Pool(HTTPConnectionPool):
    ConnectionCls = Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = TlsConnection


class _Adapter(HTTPAdapter):
    def __init__(self, pool_size: int, **of_connections: Any) -> None:
        self._of_connections = of_connections
        super().__init__(pool_connections=4, pool_maxsize=pool_size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_minimum_version=ssl.TLSVersion.TLSv1_2, **kwargs)
        self._use_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        kwargs["ssl_minimum_version"] = ssl.TLSVersion.TLSv1_2
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        self._use_pools(manager)
        return manager

    def _use_pools(self, manager: PoolManager) -> None:
        pools: Any = {
            "http": partial(_Pool, **self._of_connections),
            "https": partial(_TlsPool, **self._of_connections),
        }
        manager.pool_classes_by_scheme = pools


class _Session(requests.Session):
    """Does once what requests does for every request alike: it reads the environment, and writes URL and headers."""

    def __init__(self) -> None:
        super().__init__()
        self._of_environment: dict[object, Any] = {}
        self._last: tuple[object, requests.PreparedRequest] | None = None

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        # Of one login only the bodies differ. They are ours, bytes that are ready to be sent.
        if not isinstance(request.data, bytes) or request.json is not None:
            return super().prepare_request(request)
        alike = (request.method, request.url, dict(request.headers or {}))
        last = self._last
        if last is None or last[0] != alike:
            without_body = requests.Request(request.method, request.url, headers=request.headers)
            self._last = last = alike, super().prepare_request(without_body)
        prepared = last[1].copy()
        prepared.body = request.data or None
        prepared.prepare_content_length(prepared.body)
        return prepared

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        if proxies:
            return super().merge_environment_settings(url, proxies, stream, verify, cert)
        key = ("/".join(str(url).split("/", 3)[:3]), stream, verify, cert)
        found = self._of_environment.get(key)
        if found is None:
            found = super().merge_environment_settings(url, proxies, stream, verify, cert)
            self._of_environment[key] = found
        return {**found, "proxies": dict(found["proxies"])}

    def get_redirect_target(self, resp: requests.Response) -> None:
        # Even where redirects are not followed, requests reads the whole body of one, to prepare the next request.
        return None


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def new_session(
    pool_size: int,
    *,
    proxy: str | None = None,
    client_cert: Path | None = None,
    client_key: Path | None = None,
    resolve: Resolver | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> requests.Session:
    """Return a session to be shared by threads: pooled, TLS 1.2 or later, without
    retries, redirects, cookies or ~/.netrc.

    Args:
        pool_size: Connections kept open.
        proxy: URL of the proxy to go through; "none" is none. None takes proxies, and REQUESTS_CA_BUNDLE, from the
            environment; with another value nothing is taken from there.
        client_cert: PEM file of the certificate to show.
        client_key: PEM file of its key; None when client_cert holds it too.
        resolve: Turns host names into addresses; None asks the system.
        monotonic: Seconds that never go back, for the age of idle connections.

    Raises:
        ConfigError: Certificate and key cannot be used, or others can read the key.
    """
    session = _Session()
    adapter = _Adapter(pool_size, resolve=resolve or Resolver(), monotonic=monotonic)
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
    # Answers are short; one that is not compressed cannot swell.
    session.headers["Accept-Encoding"] = "identity"
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
            f"AFILSQL_CLIENT_CERT and its key cannot be used ({innermost(error)}): give two PEM files that belong "
            "together, the key without a passphrase"
        ) from None
