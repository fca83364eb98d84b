"""Whether a connection to SQL Server is encrypted, and to whom: what a URL asks for, and yes where it says nothing."""

from __future__ import annotations

import ipaddress
import re

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

_NO = {"no", "false", "0", "optional"}
_YES = {"yes", "true", "1"}
#: One keyword=value of a connection string; in braces a value may hold anything, with }} for }.
_PAIR = re.compile(r"([^=;]+)=\s*(\{(?:[^}]|\}\})*\}|[^;]*)[^;]*(?:;|$)")
_SERVER = ("server", "address", "addr", "network address")


def encrypted(url: sa.URL) -> sa.URL:
    """Return the URL with Encrypt=yes, unless it says itself what it wants.

    Drivers differ: 18 encrypts by default, 17 does not. In an ODBC connection string the first of two
    equal keywords counts, so ours goes to the front only where there is none, over what a DSN says.
    """
    query = dict(url.query)
    if "encrypt" in _wishes(url):
        return url
    if "odbc_connect" in query:
        return url.update_query_dict({"odbc_connect": f"Encrypt=yes;{_text(query['odbc_connect'])}"})
    return url.update_query_dict({"Encrypt": "yes"})


def weaknesses(url: str) -> list[str]:
    """Say what somebody between this machine and SQL Server could do, a line each; nothing about loopback or SQLite."""
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        return []  # whoever opens it says what is wrong with it
    if parsed.get_backend_name() != "mssql":
        return []
    wishes = _wishes(parsed)
    host = _host(parsed, wishes)
    if _is_loopback(host):
        return []
    found = []
    if wishes.get("encrypt") in _NO:
        found.append(
            f"Encrypt={wishes['encrypt']}: whoever is between here and {host} reads and changes what goes over this "
            "connection; leave it out to encrypt"
        )
    elif wishes.get("trustservercertificate") in _YES and wishes.get("encrypt") != "strict":
        found.append(
            f"TrustServerCertificate={wishes['trustservercertificate']}: whoever is between here and {host} can pose "
            "as the server; install a certificate this machine trusts and leave it out"
        )
    return found


def _wishes(url: sa.URL) -> dict[str, str]:
    """Keywords and values in small letters; of equal ones the first, as ODBC does."""
    if "odbc_connect" in url.query:
        pairs = _PAIR.findall(_text(url.query["odbc_connect"]))
    else:
        pairs = [(name, _text(value)) for name, value in url.query.items()]
    wishes: dict[str, str] = {}
    for name, value in pairs:
        bare = value.strip()
        bare = bare[1:-1] if bare.startswith("{") and bare.endswith("}") else bare
        # A driver does not know a keyword with a blank more, so neither does this.
        wishes.setdefault(name.lower(), bare.lower())
    return wishes


def _host(url: sa.URL, wishes: dict[str, str]) -> str:
    named = next((wishes[name] for name in _SERVER if name in wishes), "")
    server = named if "odbc_connect" in url.query else url.host or ""
    server = re.sub(r"^(tcp|np|lpc|admin):", "", server.strip())
    return re.split(r"[,\\]", server)[0].strip() or "the server"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host in ("localhost", ".", "(local)", "(localdb)")


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else value[0]
