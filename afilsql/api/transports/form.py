"""The transports `post` and `get`: everything is a form field, user and password among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from afilsql.api.transports.base import HttpCall, Login, Transport, form, with_query, within_limit

DEFAULT_URL = "https://www.afilnet.com/api/http/"

FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
#: A cache on the way must neither keep a URL that holds a password nor answer in the API's place.
NOT_CACHED = {"Cache-Control": "no-cache, no-store", "Pragma": "no-cache"}


@dataclass(frozen=True)
class Post(Transport):
    """Everything in the body of a POST.

    Attributes:
        url: Address of the API.
    """

    url: str = DEFAULT_URL

    def call(self, method: str, parameters: Mapping[str, str], login: Login) -> HttpCall:
        """Write a call. Raises nothing."""
        return HttpCall("POST", SecretStr(self.url), FORM, form(_fields(method, parameters, login)))


@dataclass(frozen=True)
class Get(Transport):
    """Everything in the URL of a GET, as the vendor's own examples do.

    Attributes:
        url: Address of the API.
    """

    url: str = DEFAULT_URL
    caution = (
        "the transport 'get' puts user and password into the URL, which proxies and the API's server write to their "
        "logs: use another transport, such as post"
    )

    def call(self, method: str, parameters: Mapping[str, str], login: Login) -> HttpCall:
        """Write a call. Raises InvalidParameter when its URL is too long."""
        url = with_query(self.url, _fields(method, parameters, login))
        return HttpCall("GET", within_limit(url, method, instead="use another transport, such as post"), NOT_CACHED)


def _fields(method: str, parameters: Mapping[str, str], login: Login) -> dict[str, str]:
    who = {"user": login.user, "password": login.password.get_secret_value()}
    return {"class": "chat", "method": method, **who, **parameters}
