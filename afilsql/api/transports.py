"""A requests session for one account: pooled, bounded, and with no habits of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager, ProxyManager
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from afilsql.api.connections import Connection, TlsConnection
from afilsql.api.resolver import Resolver


class _Pool(HTTPConnectionPool):
    ConnectionCls = Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = TlsConnection


class _Adapter(HTTPAdapter):
    def __init__(self, pool_size: int, **of_connections: Any) -> None:
        self._of_connections = of_connections
        super().__init__(pool_connections=4, pool_maxsize=pool_size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._use_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
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
    def get_redirect_target(self, resp: requests.Response) -> None:
        # Even where redirects are not followed, requests reads the whole body of one, to prepare the next request.
        return None


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def new_session(
    pool_size: int, *, resolve: Resolver | None = None, monotonic: Callable[[], float] = time.monotonic
) -> requests.Session:
    """Return a session to be shared by threads: pooled, without retries, redirects, cookies or ~/.netrc.

    Proxies and REQUESTS_CA_BUNDLE are taken from the environment.

    Args:
        pool_size: Connections kept open.
        resolve: Turns host names into addresses; None asks the system.
        monotonic: Seconds that never go back, for the age of idle connections.
    """
    session = _Session()
    adapter = _Adapter(pool_size, resolve=resolve or Resolver(), monotonic=monotonic)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    # Without an auth of its own requests looks into ~/.netrc and would send what it finds there.
    session.auth = _no_auth
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "afilsql"
    session.headers["Accept"] = "application/json"
    # Answers are short; one that is not compressed cannot swell.
    session.headers["Accept-Encoding"] = "identity"
    return session
