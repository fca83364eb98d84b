"""The settings file: TOML with known keys, in a file that nobody else can change, or read if it holds a password."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from afilsql import secretfiles
from afilsql.errors import ConfigError
from afilsql.masking import masked_url


def read(path: Path, known: Collection[str], known_of_account: Collection[str]) -> dict[str, Any]:
    """Return what the file sets.

    Args:
        path: The file.
        known: The keys it may have.
        known_of_account: The keys each of its [accounts.NAME] may have.

    Raises:
        ConfigError: It cannot be read, is not TOML, has another key, or others can change it, or read a password in it.
    """
    import tomllib  # a command without a file starts without it

    named = f"the settings file {path}"
    text, status = secretfiles.read(path, named)
    try:
        data = tomllib.loads(text.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError:
        raise ConfigError(f"{named} is not UTF-8: save it as UTF-8") from None
    except tomllib.TOMLDecodeError as e:
        # Only the place: the text of the error may quote part of a line that holds a password.
        place = re.search(r"\(at [^)]*\)", str(e))
        raise ConfigError(f"{named} is not TOML {place[0] if place else ''}: correct it") from None
    _refuse_unknown(named, data, known, known_of_account)
    # Whoever can write to it can also send the password elsewhere, so it is checked without one as well.
    secretfiles.check(path, status, named, secret=_holds_secret(data))
    return data


def _refuse_unknown(
    named: str, data: Mapping[str, Any], known: Collection[str], known_of_account: Collection[str]
) -> None:
    for key in data:
        if key not in known:
            raise ConfigError(f"{named} has the unknown key '{key}'; known are {', '.join(known)}")
    accounts = data.get("accounts", {})
    if not isinstance(accounts, dict):
        raise ConfigError(f"accounts in {named} is not a table: write [accounts.NAME] with user and password")
    for name, account in accounts.items():
        for key in account if isinstance(account, dict) else ():
            if key not in known_of_account:
                raise ConfigError(
                    f"{named} has the unknown key '{key}' in [accounts.{name}]; known are {', '.join(known_of_account)}"
                )


def _holds_secret(data: Mapping[str, Any]) -> bool:
    urls = [str(data.get(name, "")) for name in ("database_url", "proxy")]
    tables = [data, *(a for a in data.get("accounts", {}).values() if isinstance(a, dict))]
    web = data.get("web")
    return (
        any(table.keys() & {"password", "client_secret"} for table in tables)
        or any(masked_url(url) != url for url in urls)
        or (isinstance(web, dict) and bool(web.keys() & {"users", "secret"}))
    )
