"""OAuth 2.0 (RFC 6749): what a token endpoint is asked, and what it answers. Pure; `tokens` does the asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GrantType = Literal["client_credentials", "password"]


@dataclass(frozen=True)
class Grant:
    """How an account gets its access tokens.

    Attributes:
        token_url: The token endpoint.
        type: client_credentials, or password (the account's user and password are traded for a token).
        scope: What is asked for, words apart by spaces; empty asks for nothing in particular.
    """

    token_url: str
    type: GrantType = "client_credentials"
    scope: str = ""
