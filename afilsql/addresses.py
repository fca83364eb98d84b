"""Addresses in the settings, on the web and of files: what each may look like.

The errors are ValueErrors, for the settings to name. `check_safe` is for addresses that get credentials, once it is
known what else is allowed.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from afilsql.errors import ConfigError


def of_api(value: str | None) -> str | None:
    """Return an address of the API. Raises ValueError when it is none, or holds credentials or a query."""
    if value is None:
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is not a web address: write https://host/path/")
    if "@" in parts.netloc or parts.query:
        raise ValueError("it may hold neither credentials nor a query: use AFILSQL_USER and AFILSQL_PASSWORD")
    return value


def of_wsdl(value: str | None) -> str | None:
    """Return where a WSDL is. Raises ValueError when it is neither a file nor a web address without credentials."""
    if value is None:
        return value
    parts = urlsplit(value)
    if parts.scheme in ("http", "https"):
        if not parts.hostname or "@" in parts.netloc:
            raise ValueError("it is not a web address without credentials: write https://host/path?wsdl, or a file")
    else:
        of_file(Path(value))
    return value


def of_file(value: Path | None) -> Path | None:
    """Return the path of a file. Raises ValueError when there is none, or cannot be one of this name."""
    try:
        if value is None or value.exists():
            return value
    except OSError:  # such as a name that is too long
        pass
    raise ValueError("there is no such file")


def of_proxy(value: str | None) -> str | None:
    """Return the address of a proxy, or "none". Raises ValueError when it is neither."""
    if value is None or value.lower() == "none":
        return value and "none"
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port
    except ValueError:
        usable = False
    if not usable:
        raise ValueError('it is not a proxy: write http://host:port, http://user:password@host:port or "none"')
    return value


def of_alerts(value: str | None) -> str | None:
    """Return the address alerts are posted to. Raises ValueError for http to another machine, or credentials in it."""
    if value is None:
        return value
    parts = urlsplit(value)
    _ = parts.port  # raises ValueError
    local = parts.scheme == "http" and parts.hostname is not None and is_loopback(parts.hostname)
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise ValueError("it is not an https address: only on this machine, 127.0.0.1, http is allowed")
    if "@" in parts.netloc:
        raise ValueError("it may not hold a user or password: let the address carry a token, or use a command")
    return value


def check_safe(url: str, setting: str, *, allow_http: bool) -> None:
    """Refuse an address that is none, holds credentials, or would have them sent in clear.

    Args:
        url: The address.
        setting: What it is called in messages.
        allow_http: Permit http:// to another machine.

    Raises:
        ConfigError: It is refused.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise ConfigError(f"{setting} is not a URL: it looks like https://www.afilnet.com/api/http/") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"{setting} is not an https URL: it looks like https://www.afilnet.com/api/http/")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{setting} holds credentials: put them into AFILSQL_USER and AFILSQL_PASSWORD")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ConfigError(f"{setting} would send the password unencrypted to {host}: use https://")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
