"""OAuth 2.0 (RFC 6749): what a token endpoint is asked, and what it answers. Pure; `tokens` does the asking."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote_plus, urlsplit

from oauthlib.oauth2 import BackendApplicationClient, LegacyApplicationClient, OAuth2Error
from oauthlib.oauth2.rfc6749.parameters import parse_token_response
from pydantic import SecretBytes, SecretStr

from afilsql.api.answers import Answer, retry_after
from afilsql.api.transports.base import HttpCall, Login, basic
from afilsql.api.transports.form import FORM
from afilsql.errors import ApiError, CredentialsRefused, NotSent

GrantType = Literal["client_credentials", "password"]

#: Seconds a token is believed to be good: the least, so that one already expired is not fetched by every call, and
#: the most.
MIN_LIFETIME, MAX_LIFETIME = 1.0, 10 * 365 * 86_400.0

#: Characters a token may have (RFC 6750 allows fewer): none of them ends a header.
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")

#: Errors of RFC 6749, and what to do about them.
_REFUSALS = {
    "invalid_client": "correct the account's client_id and client_secret",
    "invalid_grant": "correct the account's user and password",
    "unauthorized_client": "set the account's grant to one this client may use",
    "unsupported_grant_type": "set the account's grant to one the vendor offers",
    "invalid_scope": "correct the account's scope",
    "invalid_request": "check the account's grant, scope and token_url",
    "access_denied": "ask the vendor whether the account may use the API",
}


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


@dataclass(frozen=True, slots=True)
class Token:
    """What a token endpoint gave.

    Attributes:
        access: The access token.
        refresh: Gets the next one, None when only the grant does.
        lifetime: Seconds the access token is good for, MAX_LIFETIME when the endpoint did not say.
    """

    access: SecretStr
    refresh: SecretStr | None
    lifetime: float


def token_call(grant: Grant, login: Login, refresh: SecretStr | None = None) -> HttpCall:
    """Write the request for a token.

    Args:
        grant: How it is obtained.
        login: Whose it is.
        refresh: Obtain it with this refresh token in place of the grant.
    """
    # A connection used once in a long time is not worth the doubt whether the endpoint is about to close it.
    headers = {**FORM, "Accept": "application/json", "Connection": "close"}
    if login.client_secret:
        # Both are encoded before they are joined (RFC 6749, 2.3.1), so that a colon in them does no harm.
        secret = SecretStr(quote_plus(login.client_secret.get_secret_value()))
        headers["Authorization"] = f"Basic {basic(quote_plus(login.client_id), secret)}"
    return HttpCall("POST", SecretStr(grant.token_url), headers, _body(grant, login, refresh))


def _body(grant: Grant, login: Login, refresh: SecretStr | None) -> SecretBytes:
    scope = grant.scope or None
    public = not login.client_secret  # a client without a secret names itself in the body
    if refresh is not None:
        body = SecretStr(
            BackendApplicationClient(login.client_id).prepare_refresh_body(
                refresh_token=refresh.get_secret_value(),
                scope=scope,
                client_id=login.client_id,
                include_client_id=public,
            )
        )
    elif grant.type == "client_credentials":
        client = BackendApplicationClient(login.client_id)
        body = SecretStr(client.prepare_request_body(scope=scope, include_client_id=public))
    else:
        body = SecretStr(
            LegacyApplicationClient(login.client_id).prepare_request_body(
                login.user, login.password.get_secret_value(), scope=scope, include_client_id=public
            )
        )
    return SecretBytes(body.get_secret_value().encode("ascii"))


def token_of(grant: Grant, answer: Answer, *, now: datetime) -> Token:
    """Return the token in a token endpoint's answer.

    Args:
        grant: How it was asked for.
        answer: What came.
        now: The time (UTC), for a Retry-After given as a date.

    Raises:
        CredentialsRefused: The endpoint refuses the client, the user, or what they ask for.
        NotSent: Anything else; the API has not been called.
    """
    status = answer.status
    where = f"the token endpoint {urlsplit(grant.token_url).netloc}"

    def not_sent(code: str, what: str) -> NotSent:
        return NotSent(f"no token: {where} {what}; nothing was sent to the API", status=status, code=f"TOKEN_{code}")

    if status in (429, 503):
        away = not_sent(f"HTTP_{status}", f"turned the request away (HTTP {status})")
        away.retry_after = retry_after(answer.headers.get("Retry-After"), now)
        raise away
    if status == 407:
        raise not_sent("HTTP_407", "is behind a proxy that wants a login: correct AFILSQL_PROXY, or HTTPS_PROXY")
    if 300 <= status < 400:
        raise not_sent("REDIRECTED", "answers with a redirect, which is not followed: set token_url to its address")
    if status >= 500 or status in (404, 405, 408, 410):
        raise not_sent(f"HTTP_{status}", f"answered HTTP {status}: is token_url its address?")
    if answer.failure is not None:
        raise not_sent(answer.failure.code or "CONNECTION_BROKEN", "did not answer in full")
    found = _parse(answer.body)
    if isinstance(found, str):
        raise _refusal(found, status, where) or not_sent("BAD_ANSWER", "gave none: is token_url its address?")
    token = _token(found)
    if not 200 <= status < 300 or token is None:
        raise not_sent("BAD_ANSWER", "gave none that can be used: is token_url its address?")
    return token


def _parse(body: bytes) -> dict[str, Any] | str:
    """Return what the endpoint gave, or the name of its error, empty when it is none of RFC 6749."""
    try:
        # Without the scope asked for, another one granted is none of oauthlib's errors.
        return dict(parse_token_response(body.decode("utf-8-sig")))
    except OAuth2Error as error:
        # Another name could be anything, and is not carried on.
        return error.error if error.error in tuple(_REFUSALS) else ""
    except Exception:  # noqa: BLE001 - it trusts the endpoint to answer with an object
        return ""


def _refusal(name: str, status: int, where: str) -> ApiError | None:
    if name in _REFUSALS:
        return CredentialsRefused(
            f"no token: {where} refuses the account ({name}): {_REFUSALS[name]} in the worker's settings, then "
            "release the account",
            status=status,
            code=f"TOKEN_{name.upper()}",
        )
    if status in (400, 401, 403):
        return CredentialsRefused(
            f"no token: {where} refuses the account (HTTP {status}): check its client_id, client_secret, grant and "
            "allowed IP addresses",
            status=status,
            code=f"TOKEN_HTTP_{status}",
        )
    return None


def _token(found: dict[str, Any]) -> Token | None:
    access, refresh, lifetime = found.get("access_token"), found.get("refresh_token"), found.get("expires_in")
    is_bearer = str(found.get("token_type", "bearer")).lower() == "bearer"
    if not (is_bearer and isinstance(access, str) and _TOKEN.fullmatch(access)):
        return None
    return Token(
        SecretStr(access),
        SecretStr(refresh) if isinstance(refresh, str) and refresh else None,
        min(max(lifetime, MIN_LIFETIME), MAX_LIFETIME) if isinstance(lifetime, int) else MAX_LIFETIME,
    )
