"""Logins of accounts: where secrets are looked for, and how a new one is noticed while a worker runs.

The user comes from the settings, the password from the first of

1. `AFILSQL_PASSWORD` or the file AFILSQL_PASSWORD_FILE names (for more accounts: AFILSQL_ACCOUNTS);
2. `password` or `password_file` in the settings file;
3. the systemd credential `afilsql.password`, or `afilsql.ACCOUNT.password`, in $CREDENTIALS_DIRECTORY;
4. the keyring of the operating system (extra `keyring`): service `afilsql`, name the account's.

So does a client's secret for OAuth 2.0, as `client_secret` in place of `password`; in the keyring the name is
`ACCOUNT.client_secret`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from afilsql.accounts import DEFAULT_ACCOUNT, PREFIX, AccountSettings
from afilsql.api.transports import Login
from afilsql.config import Settings, credential_file
from afilsql.errors import ConfigError
from afilsql.secretfiles import MOUNTED, is_there, read_secret

SERVICE = "afilsql"
#: Seconds between two looks at files, and at the keyring.
FILES_EVERY, KEYRING_EVERY = 1.0, 60.0
#: Seconds a changed file must have been left alone: whoever writes it may not be done yet.
SETTLED = 0.5
KEYRING_TIMEOUT = 10.0

Keyring = Callable[[str, str], str | None]
Stamp = tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class Found:
    """A login.

    Attributes:
        login: The login.
        secrets: What it has to prove itself, which depends on the transport.
        in_keyring: It came from the keyring, which tells nobody when it changes.
    """

    login: Login
    secrets: tuple[str, ...] = ("password",)
    in_keyring: bool = False


@dataclass(frozen=True, slots=True)
class _Secret:
    """One secret of an account: its name in the settings, and what the places outside them call it."""

    field: str
    account: str

    @property
    def credential(self) -> str:
        """The systemd credential."""
        return f"afilsql.{self.field}" if self.account == DEFAULT_ACCOUNT else f"afilsql.{self.account}.{self.field}"

    @property
    def entry(self) -> str:
        """The name in the keyring."""
        return self.account if self.field == "password" else f"{self.account}.{self.field}"


def _needed(given: AccountSettings, account: str) -> dict[str, _Secret]:
    """Return the secrets an account logs in with."""
    names = (["password"] if given.needs_user else []) + (["client_secret"] if given.transport == "json" else [])
    return {name: _Secret(name, account) for name in names}


def find(settings: Settings, account: str, *, environ: Mapping[str, str], keyring: Keyring) -> Found:
    """Look an account's login up, in the order this module's docstring gives.

    Raises:
        ConfigError: There is none, or the source that should have it cannot be read; names it, quotes nothing.
    """
    given = settings.credentials(account)
    in_keyring = False
    found: dict[str, SecretStr] = {}
    for name, secret in _needed(given, account).items():
        value = _in_settings_or_file(given, secret, environ)
        if value is None and (kept := keyring(SERVICE, secret.entry)):
            value, in_keyring = SecretStr(kept), True
        if value is not None:
            found[name] = value
        elif name == "password" or not given.needs_user:  # a client without a secret may use the grant password
            raise ConfigError(_nowhere(secret))
    login = Login(given.user or "", client_id=given.client_id or "", **found)
    return Found(login, tuple(_needed(given, account)), in_keyring)


def _in_settings_or_file(given: AccountSettings, secret: _Secret, environ: Mapping[str, str]) -> SecretStr | None:
    value: SecretStr | None = getattr(given, secret.field)
    if value is not None:
        return value
    path: Path | None = getattr(given, f"{secret.field}_file")
    if path is not None:
        named = f"the {secret.field} file {path} of the account '{secret.account}'"
        return SecretStr(read_secret(path, named))
    file = credential_file(secret.credential, environ)
    if file is None or not is_there(file):
        return None
    named = f"the systemd credential {secret.credential}"
    return SecretStr(read_secret(file, named, mounted=(MOUNTED, file.parent)))


def _nowhere(secret: _Secret) -> str:
    account, name = secret.account, secret.field.upper()
    where = f"{PREFIX}{name} or {PREFIX}{name}_FILE" if account == DEFAULT_ACCOUNT else f"[accounts.{account}]"
    return (
        f"the account '{account}' has no {secret.field}: set it in {where}, or store it as the systemd credential "
        f"{secret.credential} or in the keyring (`keyring set {SERVICE} {secret.entry}`)"
    )


def _files(settings: Settings, account: str, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files whose change can change what `find` finds."""
    given = settings.credentials(account)
    secrets = [s for s in _needed(given, account).values() if getattr(given, s.field) is None]
    files = [getattr(given, f"{s.field}_file") or credential_file(s.credential, environ) for s in secrets]
    return tuple(file for file in files if file is not None)


def from_keyring(service: str, name: str) -> str | None:
    """Ask the operating system's keyring; None when it has no such entry, or there is no keyring here.

    Raises:
        ConfigError: It is there and does not answer.
    """
    try:
        import keyring
        from keyring.errors import NoKeyringError
    except ImportError:
        return None
    answer: list[str | None] = []
    failure: list[str] = []

    def ask() -> None:
        try:
            answer.append(keyring.get_password(service, name))
        except NoKeyringError:
            answer.append(None)
        except Exception as error:  # noqa: BLE001 - a backend raises whatever its own libraries do
            failure.append(type(error).__name__)

    # A locked keyring may ask a person who is not there, and would hold the caller for ever.
    thread = threading.Thread(target=ask, name="keyring", daemon=True)
    thread.start()
    thread.join(KEYRING_TIMEOUT)
    if not answer:
        why = failure[0] if failure else f"no answer within {KEYRING_TIMEOUT:.0f} seconds"
        raise ConfigError(f"the keyring did not give the password of '{name}' ({why}): unlock it, or use a file")
    return answer[0]


@dataclass(slots=True)
class _Known:
    """An account's login and when to look again."""

    found: Found | None = None
    stamps: dict[Path, Stamp] = field(default_factory=dict)
    pending: dict[Path, Stamp] | None = None
    files_at: float = 0.0
    keyring_at: float = 0.0
    complaint: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Logins:
    """Logins by account, looked up anew when a source has changed. Safe to call from any thread.

    Only credentials are taken anew; other settings keep what they were at the start. A source that breaks keeps
    the last login, so a rotation that goes wrong half-way stops nothing.

    Args:
        load: Reads the settings again.
        config: The settings file that `load` reads, if any.
        environ: Environment variables; None takes the process's.
        keyring: Returns the password of (service, name), None when it has none.
        on_change: Told the name of an account whose login changed.
        on_trouble: Told which account keeps the login it had, and why; once for each reason.
        monotonic: Seconds that never go back.
        clock: Seconds since 1970, as files are stamped.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        *,
        config: Path | None = None,
        environ: Mapping[str, str] | None = None,
        keyring: Keyring = from_keyring,
        on_change: Callable[[str], None] = lambda account: None,
        on_trouble: Callable[[str, str], None] = lambda account, why: None,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._load = load
        self._config = (config,) if config else ()
        self._environ = os.environ if environ is None else environ
        self._keyring = keyring
        self._on_change = on_change
        self._on_trouble = on_trouble
        self._monotonic = monotonic
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def __call__(self, account: str) -> Login:
        """Return the account's login as it is now.

        Raises:
            ConfigError: The account never had one; of an account that had, the last one is kept.
        """
        with self._lock:
            known = self._known.setdefault(account, _Known())
        # All wait while one looks: a call that went out with the old password meanwhile would be refused,
        # and hold the account again right after it was released.
        with known.lock:
            if known.found is None:
                known.found = self._look(account, known)
            elif self._is_due(known):
                self._look_again(account, known, known.found)
            return known.found.login

    def _look(self, account: str, known: _Known) -> Found:
        # Stamps come before what they stamp: a change in between is then seen at the next look.
        stamps = {path: _stamp(path) for path in self._config}
        settings = self._load()
        stamps |= {path: _stamp(path) for path in _files(settings, account, self._environ)}
        found = find(settings, account, environ=self._environ, keyring=self._keyring)
        if known.found is not None and known.found.secrets != found.secrets:
            raise ConfigError(f"the account '{account}' has another transport or grant: restart the worker to use it")
        known.stamps = stamps
        known.pending = None
        known.files_at = self._monotonic() + FILES_EVERY
        known.keyring_at = self._monotonic() + KEYRING_EVERY
        return found

    def _is_due(self, known: _Known) -> bool:
        """Whether a source has changed since the last look, or is the keyring, which does not tell."""
        now = self._monotonic()
        if known.found is not None and known.found.in_keyring and now >= known.keyring_at:
            return True
        if now < known.files_at:
            return False
        known.files_at = now + FILES_EVERY
        stamps = {path: _stamp(path) for path in known.stamps}
        if stamps == known.stamps:
            return False
        newest = max((max(stamp[:2]) for stamp in stamps.values() if stamp), default=0) / 1e9
        # A time ahead of ours says nothing; then the file must look the same twice.
        settled = stamps == known.pending or newest <= self._clock() - SETTLED
        known.pending = stamps
        return settled

    def _look_again(self, account: str, known: _Known, before: Found) -> None:
        try:
            known.found = self._look(account, known)
        except ConfigError as error:
            # The stamps stay as they were, so the next look tries again.
            known.keyring_at = self._monotonic() + KEYRING_EVERY
            if str(error) != known.complaint:
                known.complaint = str(error)
                self._on_trouble(account, str(error))
            return
        known.complaint = ""
        if known.found.login != before.login:
            self._on_change(account)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
