"""Who may sign in, and as what: users of the settings, read again while the page runs."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from afilsql.errors import ConfigError
from afilsql.websettings import Role, WebSettings, WebUser

#: Characters of a password; hashing more would be work for whoever sends it.
MAX_PASSWORD = 1000
#: Seconds between two looks at the settings.
_LOOK_SECONDS = 5.0
#: Passwords hashed at a time: each takes 64 MB.
_AT_A_TIME = 2


@dataclass(frozen=True, slots=True)
class User:
    """Somebody signed in.

    Attributes:
        fingerprint: Changes with the user's hash and role, and tells neither; empty where a proxy named the user.
    """

    name: str
    role: Role
    fingerprint: str = ""

    @property
    def is_operator(self) -> bool:
        """Whether they may act."""
        return self.role == "operator"


class Verifier(Protocol):
    """Compares a password with a hash."""

    def verify(self, hash: str, password: str) -> bool:
        """Raises what argon2 raises where they do not go together."""


class Users:
    """The users of the settings.

    Args:
        load: Reads the settings; while it fails, those read before hold.
        verifier: Compares passwords; each sign-in calls it once, whether there is such a user or not.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        load: Callable[[], WebSettings],
        *,
        verifier: Verifier | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load, self._monotonic = load, monotonic
        self._settings, self._looked = load(), monotonic()
        self._verifier = verifier or PasswordHasher()
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(_AT_A_TIME)
        self._nobody = _hash_like(self._settings.users.values())

    def verified(self, name: str, password: str) -> User | None:
        """Return the user of this name and password; None when there is none, after just as long."""
        user = self._current().users.get(name)
        known = user.password_hash.get_secret_value() if user is not None else self._nobody
        with self._turns:
            try:
                fits = self._verifier.verify(known, password[:MAX_PASSWORD])
            except (VerificationError, InvalidHashError):
                fits = False
        if user is None or not fits or len(password) > MAX_PASSWORD:
            return None
        return User(name, user.role, _fingerprint(name, user))

    def get(self, name: str, fingerprint: str) -> User | None:
        """Return a user who signed in when theirs was this fingerprint; None once hash or role have changed."""
        user = self._current().users.get(name)
        if user is None or _fingerprint(name, user) != fingerprint:
            return None
        return User(name, user.role, fingerprint)

    def of_proxy(self, name: str) -> User | None:
        """Return a user that a trusted proxy names; None without a role."""
        roles: Mapping[str, Role] = self._current().proxy_roles
        role = roles.get(name) or roles.get("*")
        return User(name, role) if name and role else None

    def _current(self) -> WebSettings:
        with self._lock:
            if self._monotonic() - self._looked >= _LOOK_SECONDS:
                self._looked = self._monotonic()
                with suppress(ConfigError):  # half written; those who could sign in still can
                    self._settings = self._load()
            return self._settings


def hashed(password: str) -> str:
    """Return the hash of a password, for the settings."""
    return PasswordHasher().hash(password)


def _fingerprint(name: str, user: WebUser) -> str:
    text = f"{name}\0{user.role}\0{user.password_hash.get_secret_value()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _hash_like(users: Iterable[WebUser]) -> str:
    """Return the hash of nobody's password, as costly to compare with as the users' own."""
    first = next(iter(users), None)
    hasher = PasswordHasher()
    if first is not None:
        hasher = PasswordHasher.from_parameters(extract_parameters(first.password_hash.get_secret_value()))
    return hasher.hash(secrets.token_urlsafe(32))
