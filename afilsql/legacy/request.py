"""A URL's or form's parts, taken apart: the host, and parameters with the expressions that fill them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from afilsql.legacy.lexer import Kind
from afilsql.legacy.resolve import Part
from afilsql.legacy.statements import Branch

_HOST = "afilnet.com"
_PAIR = re.compile(r"[?&]\w+=")


@dataclass(slots=True)
class Parameter:
    """One parameter: its value is its parts joined."""

    name: str
    line: int
    parts: list[Part] = field(default_factory=list)
    condition: Branch | None = None


@dataclass(slots=True)
class Request:
    """What a call asks for.

    Attributes:
        address: Parts before the query.
        parameters: In the order of the text; a name may come twice.
        loose: Parts that stand where a name should, or hold parameters inside SQL: nobody can take them apart.
        lost: Lines where text follows an & without being a parameter: the API drops it.
    """

    address: list[Part] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    loose: list[Part] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)

    @property
    def host(self) -> str | None:
        """The host in lower case; None when it is not certain."""
        known = ""
        for part in self.address:
            if part.kind != "literal":
                known += "\0"  # something unknown stands here
                break
            known += part.text
        known = known.strip()
        match = re.match(r"(?:https?:)?//([^/?#\\\0]+)([/?#\0]?)", known, re.I)
        if match is None or match[2] == "\0" or re.search(r"[&=\s]", match[1]):
            return None  # with a parameter in it, it would be shown, and the parameter may be the password
        try:
            return (urlsplit(f"//{match[1]}").hostname or "").lower() or None
        except ValueError:
            return None

    @property
    def is_afilnet(self) -> bool:
        host = self.host or ""
        return host == _HOST or host.endswith(f".{_HOST}")

    def get(self, name: str) -> Parameter | None:
        """Return the last parameter of a name, as a server would; names are compared without case."""
        return next((p for p in reversed(self.parameters) if p.name.lower() == name), None)

    def constant(self, name: str) -> str | None:
        """Return a parameter's text when it is certain."""
        found = self.get(name)
        if found is None or found.condition or not all(p.kind == "literal" for p in found.parts):
            return None
        return "".join(p.text for p in found.parts)


def take_apart(parts: Iterable[Part], request: Request, *, in_query: bool = False) -> None:
    """Add what a URL, or with in_query a form, holds to a request."""
    mode, name, current = ("name" if in_query else "address"), "", None
    for part in parts:
        if part.kind != "literal" or (part.is_value and mode == "value"):
            if mode == "address":
                request.address.append(part)
            elif mode == "value" and current is not None and not _holds_pairs(part):
                current.parts.append(part)
            else:
                request.loose.append(part)
            continue
        for piece in re.split(r"([?&=#])", part.text):
            if mode == "address":
                if piece == "?":
                    mode, name = "name", ""
                elif piece:
                    request.address.append(replace(part, text=piece))
            elif piece == "&":
                if mode == "name" and name.strip(" +"):
                    request.lost.append(part.line)
                mode, name = "name", ""
            elif mode == "name" and piece == "=":
                mode = "value"
                current = Parameter(name.strip().lstrip("+"), part.line, [], part.condition)
                request.parameters.append(current)
            elif mode == "name":
                name += piece
            elif piece and current is not None:
                last = current.parts[-1] if current.parts else None
                if last is not None and last.kind == "literal" and not last.is_value and last.line == part.line:
                    current.parts[-1] = replace(last, text=last.text + piece)
                else:
                    current.parts.append(replace(part, text=piece))
    if mode == "name" and name.strip(" +"):
        request.lost.append(current.line if current else 0)


def _holds_pairs(part: Part) -> bool:
    return part.kind == "raw" and any(_PAIR.search(t.value) for t in part.tokens if t.kind is Kind.STRING)
