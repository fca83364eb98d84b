"""Whether a systemd unit would start: its settings and files, looked at as the service will see them."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from afilsql import secretfiles
from afilsql.accounts import DEFAULT_ACCOUNT, PREFIX
from afilsql.clients import transport_of
from afilsql.config import Settings, load_settings
from afilsql.credentials import find
from afilsql.errors import ConfigError
from afilsql.outbox.engine import STATEMENT_TIMEOUT
from afilsql.service.reload import require_account
from afilsql.service.unit import Unit

assert sys.platform != "win32", "systemd is Linux's"

if TYPE_CHECKING:
    from pwd import struct_passwd

_CONFIG = f"{PREFIX}CONFIG"
#: Folders that the unit's ProtectHome and PrivateTmp hide from the service.
HIDDEN = tuple(Path(p) for p in ("/home", "/root", "/run/user", "/tmp", "/var/tmp"))  # noqa: S108 - not written to
_SECRET_NAMES = ("PASSWORD", "CLIENT_SECRET", "ACCOUNTS", "DATABASE_URL", "PROXY", "ALERT_URL", "WEB")


def check(unit: Unit) -> Settings:
    """Return the settings that the service will have.

    Args:
        unit: What would be installed.

    Raises:
        ConfigError: It would not start; says why, and what to do.
    """
    _check_program(unit)
    environ = _environment(unit.environment_file)
    for path in filter(None, (unit.config, Path(environ[_CONFIG]) if environ.get(_CONFIG) else None)):
        _check_readable(path, unit.user)
    with _credentials(unit) as folder, acting_as(unit.user):
        environ["CREDENTIALS_DIRECTORY"] = folder
        settings = load_settings(unit.config, environ)
        require_account(settings)
        if settings.web_port is not None:
            settings.web.require_somebody()
        for path in _files(settings):
            _check_readable(path, unit.user)
        _check_accounts(unit, settings, environ)
    _check_embedded(unit, settings)
    return settings


def statement_seconds(settings: Settings) -> float:
    """Return what a statement of the settings' database may take."""
    try:
        return float(str(sa.make_url(settings.database_url).query.get("timeout", STATEMENT_TIMEOUT)))
    except (ArgumentError, ValueError):
        return STATEMENT_TIMEOUT  # whoever opens it says what is wrong with it


def _check_program(unit: Unit) -> None:
    if not os.access(unit.python, os.X_OK):
        raise ConfigError(f"{unit.python} is not there or may not be run: name a Python that has afilsql in --python")
    for path in (unit.python, unit.python.resolve()):
        if hidden := _hidden(path):
            raise ConfigError(
                f"{unit.python} lies in {hidden}, which a service does not see: install afilsql elsewhere, for example "
                "with `python3 -m venv /opt/afilsql && /opt/afilsql/bin/pip install afilsql`, and run it from there"
            )


def _environment(file: Path | None) -> dict[str, str]:
    """Read a file of NAME=value lines as systemd does, but for lines that end in a backslash."""
    if file is None:
        return {}
    named = f"the environment file {file}"
    data, status = secretfiles.read(file, named)
    values: dict[str, str] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        name, equals, value = text.partition("=")
        try:
            values[name.strip()] = " ".join(shlex.split(value)) if equals else ""
        except ValueError:
            equals = ""
        if not equals:
            raise ConfigError(f"line {number} of {named} is not NAME=value with its quotes closed: correct it")
    secret = any(name.removeprefix(PREFIX) in _SECRET_NAMES for name in values)
    secretfiles.check(file, status, named, secret=secret)
    return values


@contextmanager
def _credentials(unit: Unit) -> Iterator[str]:
    """Yield a folder with the credentials as the service will find them; in memory where there is such a place."""
    place = next((folder for folder in ("/run", "/dev/shm") if os.access(folder, os.W_OK)), None)  # noqa: S108
    user = _uid(unit.user)
    with tempfile.TemporaryDirectory(prefix="afilsql-", dir=place) as folder:
        for name, path in unit.credentials.items():
            secret = secretfiles.read_secret(path, f"the file {path} of the credential {name}")
            copy = Path(folder, name)
            copy.touch(0o600)
            copy.write_text(secret, encoding="utf-8")
            _give(copy, user)
        _give(Path(folder), user)
        yield folder


def _uid(user: str | None) -> int | None:
    """Return the user to act as; None where that is not possible, or this process's own."""
    if user is None or os.geteuid() != 0:
        return None
    return _entry(user).pw_uid or None


def _give(path: Path, uid: int | None) -> None:
    if uid is not None:
        os.chown(path, uid, -1)


@contextmanager
def acting_as(user: str | None) -> Iterator[None]:
    """Read files as a user does, if this process is root's."""
    uid = _uid(user)
    if user is None or uid is None:
        yield
        return
    gid, groups = os.getegid(), os.getgroups()
    os.initgroups(user, _entry(user).pw_gid)
    os.setegid(_entry(user).pw_gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def _check_accounts(unit: Unit, settings: Settings, environ: Mapping[str, str]) -> None:
    known = {
        f"afilsql.{field}" if account == DEFAULT_ACCOUNT else f"afilsql.{account}.{field}"
        for account in settings.configured
        for field in ("password", "client_secret")
    }
    for name in unit.credentials:
        if name not in known | {"afilsql.database_url"}:
            raise ConfigError(
                f"the credential {name} belongs to no account of the settings: known are "
                f"{', '.join(settings.configured)}; correct its name, or add the account"
            )
    for account in settings.configured:
        find(settings, account, environ=environ, keyring=lambda service, name: None)
        transport_of(settings, account)


def _files(settings: Settings) -> list[Path]:
    """Return the files of the settings that the service opens itself."""
    page = () if settings.web_port is None else (settings.web,)
    tables = (settings, *settings.accounts.values(), *page)
    found = (getattr(table, name) for table in tables for name in type(table).model_fields if name != "pulse_file")
    return [path for path in found if isinstance(path, Path)]


def _check_readable(path: Path, user: str | None) -> None:
    if not path.is_absolute():
        raise ConfigError(f"the path {path} in the settings is relative: write it in full, a service starts elsewhere")
    if not path.exists():
        raise ConfigError(f"the file {path} does not exist: correct its path")
    if hidden := _hidden(path):
        raise ConfigError(f"{path} lies in {hidden}, which a service does not see: put it in /etc/afilsql")
    may_read = _reader(user)
    for part in (*reversed(path.resolve().parents), path.resolve()):
        needed = 0o1 if part.is_dir() else 0o4
        if not may_read(part.stat(), needed):
            who = f"the user '{user}'" if user else "the service's user, made when it starts,"
            raise ConfigError(
                f"{who} may not read {path} ({part} keeps it out): keep secrets in files that root alone reads, given "
                "with --credential NAME=FILE, and what is left readable; or give it to a user named in --user"
            )


def _reader(user: str | None) -> Callable[[os.stat_result, int], bool]:
    """Return what says whether a user has a permission (as the last digit of a mode) on a file."""
    uid, groups = -1, frozenset[int]()
    if user is not None:
        import grp

        entry = _entry(user)
        uid = entry.pw_uid
        groups = frozenset({entry.pw_gid, *(group.gr_gid for group in grp.getgrall() if user in group.gr_mem)})

    def may(status: os.stat_result, needed: int) -> bool:
        if uid == 0:
            return True
        if status.st_uid == uid:
            return bool(status.st_mode >> 6 & needed)
        return bool(status.st_mode >> (3 if status.st_gid in groups else 0) & needed)

    return may


def _entry(user: str) -> struct_passwd:
    import pwd

    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(
            f"there is no user '{user}': make it with `useradd --system {user}`, or leave --user out"
        ) from None


def _check_embedded(unit: Unit, settings: Settings) -> None:
    if not settings.database_url.startswith("sqlite:"):
        return
    path = Path(settings.database_url.partition("///")[2].partition("?")[0])
    if path.is_absolute() and not path.is_relative_to(unit.state_directory):
        raise ConfigError(
            f"the embedded database {path} lies outside {unit.state_directory}, the only folder the service writes "
            "to: put it there"
        )


def _hidden(path: Path) -> Path | None:
    return next((folder for folder in HIDDEN if path.is_relative_to(folder)), None)
