"""The transport `json`: the call as a JSON object, with an access token of OAuth 2.0 for a login."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretBytes, SecretStr

from afilsql.api.transports.base import HttpCall, Login, Transport
from afilsql.api.transports.oauth import Grant
from afilsql.errors import ConfigError


@dataclass(frozen=True)
class JsonOAuth(Transport):
    """A JSON body, and the token in the Authorization header.

    Attributes:
        url: Address of the JSON API.
        grant: How the token is obtained.
    """

    url: str
    grant: Grant

    def check_login(self, login: Login) -> None:
        """Refuse a login the grant cannot trade for a token. Raises ConfigError."""
        if not login.client_id:
            raise ConfigError("OAuth 2.0 needs a client: set client_id")
        if self.grant.type == "client_credentials" and not login.client_secret:
            raise ConfigError("the grant client_credentials needs client_secret: set it")
        if self.grant.type == "password" and not (login.user and login.password):
            raise ConfigError("the grant password needs user and password: set them")

    def call(self, method: str, parameters: Mapping[str, str], login: Login) -> HttpCall:
        """Write a call, with the login's token. Raises nothing."""
        fields = {"class": "chat", "method": method, **parameters}
        return HttpCall(
            "POST",
            SecretStr(self.url),
            {"Content-Type": "application/json", "Authorization": f"Bearer {login.token.get_secret_value()}"},
            SecretBytes(json.dumps(fields, ensure_ascii=False).encode()),
        )
