"""The access token of one account: fetched once for all threads, renewed before it expires."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pydantic import SecretStr

from afilsql.api.answers import Answer
from afilsql.api.transports.base import HttpCall, Login
from afilsql.api.transports.oauth import Grant, Token, token_call, token_of
from afilsql.errors import ApiError, CredentialsRefused, NotSent

#: A token is renewed when this share of its lifetime is left, or so many seconds if they are fewer.
MARGIN_SHARE, MARGIN = 0.1, 60.0
#: Seconds a failure stands for all who ask; longer, up to the second value, when the endpoint says so.
COOL_DOWN, COOL_DOWN_MAX = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class _Kept:
    token: Token
    renew_at: float
    expires_at: float


class Tokens:
    """Keeps the token of one account. Safe to use from any thread.

    One thread fetches and the others wait for it; with a token that is still good they do not wait, and an endpoint
    that is away is noticed only once it has expired. A failure is everybody's for a moment: else each of those who
    waited would ask again.

    Args:
        grant: How a token is obtained.
        login: Whose it is.
        send: Sends a request to the token endpoint; raises ApiError.
        clock: The time (UTC).
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        grant: Grant,
        login: Login,
        send: Callable[[HttpCall], Answer],
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._grant = grant
        self._login = login
        self._send = send
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: _Kept | None = None
        self._failure: ApiError | None = None
        self._failed_until = 0.0

    def get(self) -> SecretStr:
        """Return a token that is good.

        Raises:
            NotSent: There is none, and it is not the account's fault.
            CredentialsRefused: The token endpoint refuses the account.
        """
        kept, now = self._kept, self._monotonic()
        if kept is None or now >= kept.expires_at:
            with self._lock:
                return self._renewed()
        if now >= kept.renew_at and self._lock.acquire(blocking=False):
            try:
                return self._renewed()
            except ApiError:
                pass  # it is good for some time yet
            finally:
                self._lock.release()
        return kept.token.access

    def instead_of(self, refused: SecretStr) -> SecretStr:
        """Return another token than the one the API does not take any more. Raises as `get`."""
        with self._lock:
            kept = self._kept
            if kept is not None and kept.token.access == refused:
                self._kept = _Kept(kept.token, 0.0, 0.0)
            return self._renewed()

    def _renewed(self) -> SecretStr:
        """Fetch a token unless another thread has just done so, or failed to. With the lock only."""
        began = self._monotonic()
        if self._kept is not None and began < self._kept.renew_at:
            return self._kept.token.access
        if self._failure is not None and began < self._failed_until:
            again = copy.copy(self._failure)
            if again.retry_after is not None:
                again.retry_after = self._failed_until - began
            raise again
        try:
            token = self._fetch(self._kept.token.refresh if self._kept else None)
        except ApiError as error:
            wait = min(max(error.retry_after or 0.0, COOL_DOWN), COOL_DOWN_MAX)
            self._failure = copy.copy(error)
            self._failed_until = self._monotonic() + wait
            raise
        self._failure = None
        margin = min(token.lifetime * MARGIN_SHARE, MARGIN)
        self._kept = _Kept(token, began + token.lifetime - margin, began + token.lifetime)
        return token.access

    def _fetch(self, refresh: SecretStr | None) -> Token:
        if refresh is not None:
            try:
                token = self._ask(refresh)
            except CredentialsRefused:
                pass  # of the refresh token, which may have expired too; the grant has its own answer
            else:
                return token if token.refresh else Token(token.access, refresh, token.lifetime)
        return self._ask(None)

    def _ask(self, refresh: SecretStr | None) -> Token:
        try:
            answer = self._send(token_call(self._grant, self._login, refresh))
        except NotSent as error:
            raise NotSent(f"no token: {error} to the API", code=f"TOKEN_{error.code}", reason=error.reason) from None
        except ApiError as error:
            raise NotSent(
                f"no token: the token endpoint gave no answer ({error.code}); nothing was sent to the API",
                code=f"TOKEN_{error.code}",
            ) from None
        return token_of(self._grant, answer, now=self._clock())
