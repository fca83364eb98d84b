"""URLs with passwords, made fit for messages."""

from __future__ import annotations

import re


class MaskedUrl(str):
    """A URL that may hold a password, which its repr leaves out."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(masked_url(self))


def masked_url(url: str) -> str:
    """Return a URL of a database or proxy fit for messages: its passwords replaced by ***."""
    hidden = re.sub(r"(?<=://)([^:/?@]*):.*@(?=[^@]*$)", r"\1:***@", url)
    # odbc_connect carries a whole connection string, often percent-encoded, with the password somewhere inside.
    hidden = re.sub(r"(odbc_connect=)[^&]*", r"\1***", hidden, flags=re.IGNORECASE)
    return re.sub(r"((?:pwd|password)=)(?:\{(?:[^}]|\}\})*\}|[^&;])*", r"\1***", hidden, flags=re.IGNORECASE)
