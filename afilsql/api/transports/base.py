"""What a transport does: it writes a call of the API as an HTTP request, and reads the API's JSON from the answer.

A transport is pure and holds no secret: it says how to call, a Login who calls. `AfilnetClient` does the sending, so
that time-outs, limits, TLS, proxies, masking and the meaning of failures are the same for all.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import quote, quote_plus, urlencode

from pydantic import SecretBytes, SecretStr

from afilsql.api.answers import Answer
from afilsql.errors import InvalidParameter

if TYPE_CHECKING:
    from afilsql.api.transports.oauth import Grant

Verb = Literal["GET", "POST"]

#: Characters of a whole URL that the vendor takes.
URL_LIMIT = 4_000

_NO_SECRET, _NO_BODY = SecretStr(""), SecretBytes(b"")


@dataclass(frozen=True, slots=True)
class Login:
    """Who calls.

    Attributes:
        user: The account's user; empty where the grant needs none.
        password: Its password.
        client_id: Client of OAuth 2.0; empty without it.
        client_secret: That client's secret.
        token: The access token, once it has been obtained.
    """

    user: str = ""
    password: SecretStr = _NO_SECRET
    client_id: str = ""
    client_secret: SecretStr = _NO_SECRET
    token: SecretStr = _NO_SECRET

    def secrets(self) -> tuple[str, ...]:
        """Return all that must not be seen, the base64 of Basic authentication as a whole too."""
        given = [s.get_secret_value() for s in (self.password, self.client_secret, self.token)]
        client = (quote_plus(self.client_id), SecretStr(quote_plus(self.client_secret.get_secret_value())))
        pairs = ((self.user, self.password), client)
        return (*filter(None, given), *(basic(user, word) for user, word in pairs if word))


@dataclass(frozen=True, slots=True)
class HttpCall:
    """An HTTP request, to be sent once.

    Attributes:
        verb: GET or POST.
        url: Where to; a secret, since that of the transport `get` holds the password.
        headers: Names to values; they may hold secrets, and are not shown.
        body: Empty for a GET.
    """

    verb: Verb
    url: SecretStr
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: SecretBytes = _NO_BODY


#: Sends a request and returns what came. Raises NotSent or DeliveryUnknown.
Fetch = Callable[[HttpCall], Answer]


class Transport(Protocol):
    """One way to call the API. To be subclassed; `call` and `url` are what each has of its own.

    Attributes:
        url: Address of the API, as told in messages.
        grant: How the token is obtained that each call carries; None where there is none.
        caution: What whoever chose this transport must know, empty where there is nothing.
    """

    url: str
    grant: Grant | None = None
    caution: str = ""

    def prepare(self, fetch: Fetch) -> None:
        """Fetch what calls need to be written, such as a WSDL; called before each of them, from any thread.

        Raises:
            NotSent: It cannot be had at present.
            ConfigError: It cannot be used.
        """
        return

    def call(self, method: str, parameters: Mapping[str, str], login: Login) -> HttpCall:
        """Write a call.

        Args:
            method: Name of one of METHODS.
            parameters: What `methods.check` let through.
            login: Who calls.

        Raises:
            InvalidParameter: This transport cannot carry it; nothing was sent.
        """
        ...

    def answer(self, method: str, answer: Answer) -> Answer:
        """Return the answer with the API's JSON for a body; one that does not hold it stays as it is.

        Args:
            method: The method that was called.
            answer: What came, whatever it is.

        Raises:
            DeliveryUnknown: It cannot be read; the request may have taken effect.
        """
        return answer

    def check_login(self, login: Login) -> None:
        """Refuse a login this transport cannot use. Raises ConfigError."""
        return


def form(parameters: Mapping[str, str]) -> SecretBytes:
    """Return parameters as the body of a form: UTF-8, percent-encoded."""
    return SecretBytes(urlencode(parameters, quote_via=quote).encode("ascii"))


def with_query(url: str, parameters: Mapping[str, str]) -> SecretStr:
    """Return a URL with parameters in its query, UTF-8, percent-encoded."""
    return SecretStr(url + ("&" if "?" in url else "?") + urlencode(parameters, quote_via=quote))


def within_limit(url: SecretStr, method: str, *, instead: str) -> SecretStr:
    """Return a URL the API takes.

    Args:
        url: The whole URL.
        method: The method called, for the message.
        instead: What to do when it is too long.

    Raises:
        InvalidParameter: It is longer than URL_LIMIT.
    """
    if len(url) > URL_LIMIT:
        raise InvalidParameter(
            f"{method}: as a URL the request is {len(url)} characters long, and the API takes {URL_LIMIT} at most: "
            f"{instead}; nothing was sent",
            code="URL_TOO_LONG",
        )
    return url


def basic(user: str, password: SecretStr) -> str:
    """Return user and password as Basic authentication writes them (RFC 7617), in UTF-8."""
    return base64.b64encode(f"{user}:{password.get_secret_value()}".encode()).decode("ascii")
