"""Follow variables back to what they hold, until a URL's pieces are literals, variables or SQL that stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from afilsql.api.methods import METHODS
from afilsql.legacy.expression import (
    Encoded,
    Joined,
    Literal,
    Node,
    Raw,
    Reference,
    Replaced,
    Wrapped,
    literals,
    parse_expression,
)
from afilsql.legacy.lexer import Token
from afilsql.legacy.statements import Assignment, Branch, Path, Script

_KNOWN = sorted({"class", "method", "user", "password", *(p for m in METHODS.values() for p in m.parameters)})
#: A literal with this in it holds parameters of a request, not the value of one.
_STRUCTURE = re.compile(rf"(?:^|[?&+])(?:{'|'.join(_KNOWN)})=", re.I)
_ADDRESS = re.compile(r"^\s*https?:", re.I)
#: Expansions a single value may take; more is a text doubling itself, not a URL.
_BUDGET = 5000
_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a text.

    Attributes:
        kind: literal, variable or raw (SQL that stays).
        text: The literal's characters, or the variable's name.
        line: Where it stands.
        at: Index of the event at which it is read.
        tokens: The SQL of a raw part.
        via: Variable that holds this literal.
        is_value: True when the text cannot hold parameters of its own.
        encoders: What encodes it in the code: an expression and its line, each.
        null_safe: True when CONCAT reads NULL as nothing here.
        condition: The IF it depends on.
        from_row: True when it may name columns of the SELECT it stands in.
        cut: Length at which a CAST ends it.
        number: The numeric variable that a CAST turns into text, when it does nothing else.
        reason: Why a variable could not be followed further.
    """

    kind: str
    text: str
    line: int
    at: int
    tokens: tuple[Token, ...] = ()
    via: str = ""
    is_value: bool = False
    encoders: tuple[tuple[str, int], ...] = ()
    null_safe: bool = False
    condition: Branch | None = None
    from_row: bool = False
    cut: int | None = None
    number: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a variable holds: pieces in order, or why that cannot be told."""

    pieces: tuple[tuple[Assignment, Node, Branch | None], ...] = ()
    reason: str = ""


class Resolver:
    """Follows the variables of one batch."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.nodes: dict[int, Node] = {}
        self.assignments: dict[str, list[Assignment]] = {}
        self.budget = 0
        self.depth = 0

    def resolve(self, tokens: Sequence[Token], at: int, path: Path, *, in_query: bool = False) -> list[Part]:
        """Return the parts of an expression that is read at an event."""
        self.budget = _BUDGET
        return self._expand(parse_expression(tokens), at, path, _Place(in_query))

    def constant(self, tokens: Sequence[Token], at: int, path: Path) -> str | None:
        """Return an expression's text when it is certain to be that."""
        parts = self.resolve(tokens, at, path, in_query=True)
        if parts and all(p.kind == "literal" and p.condition is None for p in parts):
            return "".join(p.text for p in parts)
        return None

    def definition(self, name: str, at: int, path: Path) -> Definition:
        """Return what a variable holds when it is read at an event.

        A change in a branch that the reader is not in makes the value uncertain, except for text added in one IF:
        that is a piece with a condition.
        """
        pieces: list[tuple[Assignment, Node, Branch | None]] = []
        everything = self.assignments.setdefault(name.lower(), [])
        if not everything:
            everything += self.script.assignments(name)
        for a in reversed([a for a in everything if a.index < at]):
            elsewhere = [b for b in a.path if b not in path]
            added = self._added(a, name)
            if added is not None and not elsewhere:
                pieces.insert(0, (a, added, None))
            elif added is not None and [b.kind for b in elsewhere] == ["if"]:
                pieces.insert(0, (a, added, elsewhere[0]))
            elif elsewhere:
                return Definition((), f"{name} is set in a branch on line {a.line}")
            else:
                for loop in (b for b in path if b.kind == "while" and b not in a.path):
                    if any(loop in other.path for other in everything):
                        return Definition((), f"{name} changes in the loop on line {loop.line}")
                if a.how in ("set", "row"):
                    return Definition(((a, self._node(a), None), *pieces))
                return Definition(tuple(pieces), _origin(a, name))
        return Definition(tuple(pieces), f"{name} is given no value here")

    def _node(self, a: Assignment) -> Node:
        if a.index not in self.nodes:
            self.nodes[a.index] = parse_expression(a.value)
        return self.nodes[a.index]

    def _added(self, a: Assignment, name: str) -> Node | None:
        """Return what an assignment adds to the variable's end; None when it sets it anew."""
        node = self._node(a)
        if a.how == "append":
            return node
        if a.how != "set" or not isinstance(node, Joined):
            return None
        first = node.parts[0]
        is_itself = isinstance(first, Reference) and first.name.lower() == name.lower()
        return Joined(node.parts[1:], node.null_safe) if is_itself else None

    def _expand(self, node: Node, at: int, path: Path, place: _Place) -> list[Part]:
        self.budget -= 1
        match node:
            case Literal():
                place.feed(node.text)
                return [Part("literal", node.text, node.line, at)]
            case Reference():
                return self._variable(node, at, path, place)
            case Raw():
                return [Part("raw", "", node.line, at, node.tokens, cut=node.cut)]
            case Joined():
                parts = [p for child in node.parts for p in self._expand(child, at, path, place)]
                return [replace(p, null_safe=True) for p in parts] if node.null_safe else parts
            case Wrapped():
                inner = node.inner
                if isinstance(inner, Literal) or any(
                    _STRUCTURE.search(t) or _ADDRESS.match(t) for t in literals(inner)
                ):
                    return self._expand(inner, at, path, place)
                if isinstance(inner, Reference) and not place.in_value:
                    return self._expand(inner, at, path, place)
                type = self.script.type_of(inner.name) if isinstance(inner, Reference) else None
                if isinstance(inner, Reference) and type and type.is_numeric:
                    return [Part("raw", "", node.raw.line, at, node.raw.tokens, number=inner.name)]
                return self._expand(node.raw, at, path, place)
            case Encoded():
                inside = self._expand(node.inner, at, path, place)
                return [replace(p, encoders=(*p.encoders, (node.how, node.line))) for p in inside]
            case Replaced():
                return self._fill(node, at, path, place)

    def _variable(self, node: Reference, at: int, path: Path, place: _Place) -> list[Part]:
        found = self.definition(node.name, at, path)
        itself = Part("variable", node.name, node.line, at, reason=found.reason)
        if self.budget < 0 or self.depth > _DEPTH:
            return [replace(itself, reason=f"{node.name} is built in too many steps")]
        self.depth += 1
        try:
            return self._follow(found, itself, place)
        finally:
            self.depth -= 1

    def _follow(self, found: Definition, itself: Part, place: _Place) -> list[Part]:
        """Return what a variable holds where it stands: its own name inside a value, its pieces elsewhere."""
        only = found.pieces[0] if len(found.pieces) == 1 and not found.reason else None
        if place.in_value and not any(_STRUCTURE.search(t) for _, n, _ in found.pieces for t in literals(n)):
            if only and isinstance(only[1], Literal) and only[0].how == "set":
                return [Part("literal", only[1].text, only[1].line, itself.at, via=itself.text, is_value=True)]
            if only and isinstance(only[1], Encoded):
                return self._expand(only[1], only[0].index, only[0].path, place)
            return [itself]
        parts = [itself] if found.reason or not found.pieces else []
        for assigned, piece, condition in found.pieces:
            made = self._expand(piece, assigned.index, assigned.path, place)
            if condition:
                made = [replace(p, condition=p.condition or condition) for p in made]
            if assigned.how == "row":
                made = [replace(p, from_row=True) if p.kind == "raw" else p for p in made]
            parts += made
        return parts

    def _fill(self, node: Replaced, at: int, path: Path, place: _Place) -> list[Part]:
        """REPLACE(template, '{m}', @message): the value takes the mark's place."""
        inner = self._expand(node.inner, at, path, place)
        if not any(p.kind == "literal" and node.search in p.text for p in inner):
            return self._expand(node.raw, at, path, place)
        by = [replace(p, is_value=True) for p in self._expand(node.by, at, path, _Place(True, True))]
        made: list[Part] = []
        for part in inner:
            if part.kind != "literal" or node.search not in part.text:
                made.append(part)
                continue
            for i, piece in enumerate(part.text.split(node.search)):
                made += by if i else []
                made.append(replace(part, text=piece))
        return [p for p in made if p.kind != "literal" or p.text]


class _Place:
    """Where in a URL the next piece stands."""

    def __init__(self, in_query: bool = False, in_value: bool = False) -> None:
        self.in_query = in_query
        self.in_value = in_value

    def feed(self, text: str) -> None:
        """Move behind a literal."""
        for char in text:
            if not self.in_query:
                self.in_query = char == "?"
            elif char == "=":
                self.in_value = True
            elif char == "&":
                self.in_value = False


def _origin(a: Assignment, name: str) -> str:
    match a.how:
        case "parameter":
            return f"{name} is a parameter"
        case "fetch":
            return f"{name} is fetched by a cursor on line {a.line}"
        case _:
            return f"{name} is filled by {a.source or 'a procedure'} on line {a.line}"
