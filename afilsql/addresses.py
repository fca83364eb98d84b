"""Web addresses in the settings: what each may look like. The errors are ValueErrors for the settings to name."""

from __future__ import annotations

from urllib.parse import urlsplit


def of_api(value: str) -> str:
    """Return the address of the API. Raises ValueError when it is none, or holds credentials or a query."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is not a web address: write https://host/path/")
    if "@" in parts.netloc or parts.query:
        raise ValueError("it may hold neither credentials nor a query: use AFILSQL_USER and AFILSQL_PASSWORD")
    return value


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
    from afilsql.api.client import is_loopback

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
