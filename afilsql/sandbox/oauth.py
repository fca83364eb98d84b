"""The simulated token endpoint: OAuth 2.0 (RFC 6749), its revocation (RFC 7009), and whose token is whose. Pure."""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

#: What a token may be asked for; nothing is the same.
SCOPES = ("chat",)


@dataclass(frozen=True, slots=True)
class _Issued:
    user: str
    client: str
    expires_at: float


class OAuthError(Exception):
    """An error the endpoint answers with.

    Attributes:
        name: As RFC 6749 calls it.
        status: HTTP status.
    """

    def __init__(self, name: str, *, status: int = 400) -> None:
        super().__init__(name)
        self.name = name
        self.status = status


class OAuth:
    """Issues tokens and knows whose they are; safe to call from any thread.

    Args:
        clients: Client ids to secrets, "" for one without; None accepts any. With the grant client_credentials a
            client acts for the user of its name.
        may_log_in: Tells whether a user has this password.
        seconds: Lifetime of an access token; a refresh token, given with the grant password, has no end.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        clients: Mapping[str, str] | None,
        may_log_in: Callable[[str, str], bool],
        *,
        seconds: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._clients = clients
        self._may_log_in = may_log_in
        self._seconds = seconds
        self._monotonic = monotonic
        self._access: dict[str, _Issued] = {}
        self._refresh: dict[str, _Issued] = {}
        self._lock = threading.Lock()
        self.issued = 0

    def token(self, form: Mapping[str, str], authorization: str) -> dict[str, object]:
        """Return the answer to a token request.

        Args:
            form: Its parameters.
            authorization: Its Authorization header, empty without one.

        Raises:
            OAuthError: It is refused.
        """
        client = self._client(form, authorization)
        if form.get("scope", "") not in ("", *SCOPES):
            raise OAuthError("invalid_scope")
        with self._lock:
            user, refreshes = self._granted(form, client)
            self.issued += 1
            now = self._monotonic()
            self._access = {token: known for token, known in self._access.items() if known.expires_at > now}
            access = secrets.token_urlsafe(24)
            self._access[access] = _Issued(user, client, now + self._seconds)
            answer: dict[str, object] = {
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": self._seconds,
            }
            if refreshes:
                refresh = secrets.token_urlsafe(24)
                self._refresh[refresh] = _Issued(user, client, float("inf"))
                answer["refresh_token"] = refresh
            return answer

    def revoke(self, form: Mapping[str, str], authorization: str) -> None:
        """Forget one token. Raises OAuthError."""
        client = self._client(form, authorization)
        token = form.get("token", "")
        if not token:
            raise OAuthError("invalid_request")
        with self._lock:
            for tokens in (self._access, self._refresh):
                if (known := tokens.get(token)) is not None and known.client == client:
                    del tokens[token]

    def revoke_all(self, *, refresh: bool = True) -> None:
        """Forget every access token, and every refresh token too unless told otherwise."""
        with self._lock:
            self._access.clear()
            if refresh:
                self._refresh.clear()

    def user_of(self, authorization: str) -> str | None:
        """Return the user a call's Authorization header speaks for, None when its token is none or has expired."""
        scheme, _, token = authorization.partition(" ")
        with self._lock:
            known = self._access.get(token.strip()) if scheme.lower() == "bearer" else None
        return known.user if known is not None and known.expires_at > self._monotonic() else None

    def _granted(self, form: Mapping[str, str], client: str) -> tuple[str, bool]:
        """Return for whom a token is granted, and whether a refresh token comes with it."""
        match form.get("grant_type"):
            case "client_credentials":
                return client, False
            case "password":
                user = form.get("username", "")
                if not user or "password" not in form:
                    raise OAuthError("invalid_request")
                if not self._may_log_in(user, form["password"]):
                    raise OAuthError("invalid_grant")
                return user, True
            case "refresh_token":
                known = self._refresh.get(form.get("refresh_token", ""))
                if known is None or known.client != client:
                    raise OAuthError("invalid_grant")
                del self._refresh[form["refresh_token"]]  # each is good for one use
                return known.user, True
            case None | "":
                raise OAuthError("invalid_request")
            case _:
                raise OAuthError("unsupported_grant_type")

    def _client(self, form: Mapping[str, str], authorization: str) -> str:
        """Return the client that asks, proven by its secret."""
        if authorization:
            if "client_secret" in form:  # one way at a time
                raise OAuthError("invalid_request")
            client, secret = map(unquote_plus, basic_login(authorization) or ("", ""))
        else:
            client, secret = form.get("client_id", ""), form.get("client_secret", "")
        known = client and (self._clients is None or self._clients.get(client) == secret)
        if not known:
            raise OAuthError("invalid_client", status=401)
        if form.get("grant_type") == "client_credentials" and not secret:
            raise OAuthError("unauthorized_client")
        return client


def basic_login(authorization: str) -> tuple[str, str] | None:
    """Return user and password of an Authorization header; None when it is none of Basic authentication in UTF-8."""
    scheme, _, word = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(word.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None
