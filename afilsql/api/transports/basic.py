"""The transport `basic`: user and password in the Authorization header and nowhere else, over POST or GET."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from afilsql.api.transports.base import HttpCall, Login, Transport, Verb, basic, form, with_query, within_limit
from afilsql.api.transports.form import FORM, NOT_CACHED
from afilsql.errors import ConfigError


@dataclass(frozen=True)
class Basic(Transport):
    """Basic authentication (RFC 7617, UTF-8).

    Attributes:
        url: Address of the API for Basic authentication.
        http_method: POST, or GET with its limited length.
    """

    url: str
    http_method: Verb = "POST"

    def check_login(self, login: Login) -> None:
        """Refuse a user with a colon, where the server would begin the password. Raises ConfigError."""
        if ":" in login.user:
            raise ConfigError(
                "the account's user holds a colon, which Basic authentication cannot carry: use another transport"
            )

    def call(self, method: str, parameters: Mapping[str, str], login: Login) -> HttpCall:
        """Write a call. Raises InvalidParameter when it is a GET and its URL is too long."""
        fields = {"class": "chat", "method": method, **parameters}
        if self.http_method == "POST":
            return HttpCall("POST", SecretStr(self.url), {**FORM, **_header(login)}, form(fields))
        url = within_limit(with_query(self.url, fields), method, instead="set http_method to POST")
        return HttpCall("GET", url, {**NOT_CACHED, **_header(login)})


def _header(login: Login) -> dict[str, str]:
    return {"Authorization": f"Basic {basic(login.user, login.password)}"}
