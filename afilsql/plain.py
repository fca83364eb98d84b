"""Text from outside (messages, the API's codes, a database's words) made fit for a log, a terminal or an alert."""

from __future__ import annotations

import re
from collections.abc import Callable

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}|[0-9]{1,3}")
#: Stands in for a code that does not look like one.
NO_CODE = "UNREADABLE_CODE"


def escaped(text: str) -> str:
    r"""Return the text on one line, each character that does not print as its escape: \n, \x1b, \u202e, \ud800."""
    return _each(text, lambda c: c.encode("unicode_escape").decode("ascii"))


def replaced(text: str) -> str:
    """Return the text with a replacement character for each that does not print; line breaks and tabs stay."""
    return _each(text, lambda c: c if c in "\n\t" else "\ufffd")


def json_escaped(document: str) -> str:
    r"""Return a JSON document that means the same, each character that does not print as \uXXXX; line breaks stay."""
    return _each(document, lambda c: c if c == "\n" else _units(c))


def code(text: str) -> str:
    """Return an error code; NO_CODE for text that does not look like one, since an API may echo a message there."""
    return text if _CODE.fullmatch(text) else NO_CODE


def _each(text: str, instead: Callable[[str], str]) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else instead(c) for c in text)


def _units(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
