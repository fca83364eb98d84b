"""The client of each account, made as its settings say."""

from __future__ import annotations

import threading
from collections.abc import Callable

from afilsql import addresses
from afilsql.accounts import AccountSettings, place
from afilsql.api.client import AfilnetClient
from afilsql.api.sessions import new_session
from afilsql.api.transports import Basic, Get, JsonOAuth, Login, Post, Soap, Transport
from afilsql.api.transports.oauth import Grant
from afilsql.config import Settings


class Clients:
    """Gives the client of an account: the same until its login changes; safe to call from any thread.

    A client that was replaced is only let go of: calls in flight end with it, and the last of them closes its
    connections.

    Args:
        settings: What is set for each account, but for its login.
        logins: Gives an account's login as it is now.
    """

    def __init__(self, settings: Settings, logins: Callable[[str], Login]) -> None:
        self._settings = settings
        self._logins = logins
        self._lock = threading.Lock()
        self._made: dict[str, tuple[Login, AfilnetClient]] = {}

    def __call__(self, account: str) -> AfilnetClient:
        """Return the account's client. Raises ConfigError when it has no credentials, or lacks another setting."""
        login = self._logins(account)
        with self._lock:
            made = self._made.get(account)
            if made is None or made[0] != login:
                made = self._made[account] = (login, self._new(account, login))
            return made[1]

    def caution(self, account: str) -> str:
        """Return what must be known of the account's transport, empty if nothing. Raises ConfigError."""
        return transport_of(self._settings, account).caution

    def _new(self, account: str, login: Login) -> AfilnetClient:
        s = self._settings
        return AfilnetClient(
            login.user,
            login.password.get_secret_value(),
            transport=transport_of(s, account),
            client_id=login.client_id,
            client_secret=login.client_secret.get_secret_value(),
            connect_timeout=s.connect_timeout,
            read_timeout=s.read_timeout,
            verify=str(s.ca_bundle) if s.ca_bundle else True,
            session=new_session(s.concurrency, proxy=s.proxy, client_cert=s.client_cert, client_key=s.client_key),
            allow_http=s.allow_http,
            allow_private_urls=s.allow_private_urls,
        )

    def close(self) -> None:
        """Close every client's connections."""
        with self._lock:
            self._made.clear()


def transport_of(settings: Settings, account: str) -> Transport:
    """Return how an account calls the API.

    Raises:
        ConfigError: The account is not set, or its transport lacks a setting, or an address of it is not safe.
    """
    given = settings.credentials(account)
    given.check_complete(account)
    for name in ("api_url", "token_url"):
        if url := getattr(given, name):
            addresses.check_safe(url, place(account, name), allow_http=settings.allow_http)
    return _transport(given, allow_http=settings.allow_http)


def _transport(given: AccountSettings, *, allow_http: bool) -> Transport:
    url = given.api_url or ""
    match given.transport:
        case "post":
            return Post(url)
        case "get":
            return Get(url)
        case "basic":
            return Basic(url, given.http_method)
        case "json":
            return JsonOAuth(url, Grant(given.token_url or "", given.grant, given.scope))
        case "soap":
            return Soap(given.wsdl or "", url=url, allow_http=allow_http)
