"""Sessions: a signed cookie that says who signed in and when, and the tokens of its forms."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

#: Seconds within which a session's last use is not written anew.
_TOUCH_SECONDS = 30.0
#: Sessions signed out and remembered; the oldest go first.
_ENDED = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says.

    Attributes:
        key: Random; names the session.
        began, used: When it began and was last used, in seconds since 1970.
        user: Who signed in; None before.
        fingerprint: Of the user's hash and role then.
    """

    key: str
    began: float
    used: float
    user: str | None = None
    fingerprint: str = ""


class Sessions:
    """Reads and writes cookies.

    Args:
        secret: Signs them.
        idle_seconds: After so long without use a session ends.
        total_seconds: After so long it ends in any case.
        clock: Seconds since 1970.
    """

    def __init__(
        self, secret: str, *, idle_seconds: float, total_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._signed = URLSafeSerializer(
            secret,
            salt="afilsql.web.session",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )
        self._secret = secret.encode()
        self._idle, self._total, self._clock = idle_seconds, total_seconds, clock
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()

    def begin(self, user: str | None = None, fingerprint: str = "") -> Session:
        """Return a new session."""
        now = self._clock()
        return Session(secrets.token_urlsafe(24), now, now, user, fingerprint)

    def read(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None when it is not ours, has ended or was signed out."""
        try:
            values: Any = self._signed.loads(cookie)
            key, began, used, user, fingerprint = values
            session = Session(str(key), float(began), float(used), user, str(fingerprint))
        except (BadData, TypeError, ValueError):
            return None
        now = self._clock()
        old = now - session.used > self._idle or now - session.began > self._total or session.used > now + 60
        with self._lock:
            return None if old or session.key in self._ended else session

    def write(self, session: Session) -> str:
        """Return the cookie's value."""
        return str(self._signed.dumps([session.key, session.began, session.used, session.user, session.fingerprint]))

    def touched(self, session: Session) -> Session | None:
        """Return the session as used now; None when that was said only just."""
        now = self._clock()
        return replace(session, used=now) if now - session.used >= min(_TOUCH_SECONDS, self._idle / 4) else None

    def end(self, session: Session) -> None:
        """Sign out: the cookie is worth nothing from now on, whoever has a copy.

        Of one that nobody had signed in to nothing is remembered: anybody can end many, which would crowd out others.
        """
        if session.user is None:
            return
        with self._lock:
            self._ended[session.key] = self._clock()
            while len(self._ended) > _ENDED:
                del self._ended[next(iter(self._ended))]

    def token(self, session: Session) -> str:
        """Return what each form of the session has to bring back."""
        return hmac.new(self._secret, f"afilsql.web.form\0{session.key}".encode(), hashlib.sha256).hexdigest()

    def is_token(self, session: Session, given: str) -> bool:
        """Whether a form brought it."""
        return hmac.compare_digest(self.token(session).encode(), given.encode("utf-8", "replace"))
