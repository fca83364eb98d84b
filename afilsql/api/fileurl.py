"""What a file's URL may point to: the twin of afil.url_fault, on texts alone, without a look at the DNS.

The API's servers fetch the URL. One that leads to a private place would have them read what only their own network
may see, and a user or password in it would stand in a table for all who read that.
"""

from __future__ import annotations

import re

#: Top-level names that are no part of the public DNS.
PRIVATE_NAMES = (
    "local",
    "localhost",
    "localdomain",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "home.arpa",
)

_AUTHORITY_END = re.compile(r"[/?#]")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_OCTETS = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
#: 2000::/3 is what is routed; in it 2001::/23 (Teredo and other wrappings) and 2002::/16 (6to4) can hide IPv4.
_GLOBAL_V6 = re.compile(r"\[[23][0-9a-fA-F]{3}:[0-9a-fA-F:]*\]")
_WRAPPED_V6 = re.compile(r"\[(?:2002|2001:(?:|[0-9a-fA-F]{1,2}|[01][0-9a-fA-F]{2}|0[01][0-9a-fA-F]{2})):")

_NOT_A_URL = "is not a URL: it starts with http:// or https://"
_CREDENTIALS = "holds a user or password before its host, which would stand in a table: take it out of the URL"
_NOT_A_HOST = "names no host: write letters, digits, dots and hyphens, an international name in its xn-- form"
_PRIVATE = (
    "points to a private place, which the API's servers shall not fetch: give a public URL, or set allow_private_urls"
)


def fault(url: str, *, allow_private: bool = False) -> str | None:
    """Return what is wrong with a URL, to stand behind the parameter's name; None when nothing is.

    Args:
        url: Any text.
        allow_private: Let any host pass.
    """
    authority = _AUTHORITY_END.split(url.partition("://")[2], maxsplit=1)[0]
    shown = f"'{url[:80]}' "
    if not url.lower().startswith(("http://", "https://")):
        return shown + _NOT_A_URL
    if "@" in authority:
        return _CREDENTIALS  # nothing of the URL is quoted
    if allow_private:
        return None
    host, colon, port = authority.rpartition(":")
    if not colon or re.search(r"[^0-9]", port):
        host = authority
    if host.startswith("["):
        public = _GLOBAL_V6.fullmatch(host) and not _WRAPPED_V6.match(host)
        return None if public else shown + _PRIVATE
    if not host.strip(".") or ".." in host or host.startswith(".") or re.search(r"[^a-zA-Z0-9._-]", host):
        return shown + _NOT_A_HOST
    host = host.lower().removesuffix(".")
    last = host.rpartition(".")[2]
    if _NUMBER.fullmatch(last):  # by the URL standard an IPv4 address, however it is spelled: 127.1, 0x7f000001
        return None if _is_public_v4(host) else shown + _PRIVATE
    named = f".{host}".endswith(tuple(f".{name}" for name in PRIVATE_NAMES))
    return shown + _PRIVATE if "." not in host or named else None


def _is_public_v4(host: str) -> bool:
    """True for four plain decimal numbers outside what IANA keeps for private and special use."""
    if not _OCTETS.fullmatch(host):
        return False
    a, b, c, d = map(int, host.split("."))
    if max(a, b, c, d) > 255:
        return False
    special = (
        a in (0, 10, 127)
        or a >= 224
        or (a == 100 and 64 <= b <= 127)
        or (a == 169 and b == 254)
        or (a == 172 and 16 <= b <= 31)
        or (a == 192 and (b == 168 or (b == 0 and c == 0)))
        or (a == 198 and b in (18, 19))
    )
    return not special
