"""String expressions as trees: what is concatenated, what is wrapped around it, and what stays SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from afilsql.legacy.lexer import Fault, Kind, Token

#: Functions of people's own that percent-encode, told by their names.
_ENCODER = re.compile(r"url_?(en)?code|encode_?ur[li]|percent_?encode|url_?escape|escape_?url", re.I)
_DEPTH = 50
_TEXT_TYPE = re.compile(r"n?(var)?char$", re.I)


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal's characters."""

    text: str
    line: int
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A variable's value."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Raw:
    """SQL that is kept as it is; `cut` is the length at which a CAST in it ends a text."""

    tokens: tuple[Token, ...]
    line: int
    cut: int | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """A concatenation; by CONCAT when `null_safe`."""

    parts: tuple[Node, ...]
    null_safe: bool = False


@dataclass(frozen=True, slots=True)
class Wrapped:
    """CAST, CONVERT or ISNULL(…, '') around something; `raw` is the whole of it."""

    inner: Node
    raw: Raw


@dataclass(frozen=True, slots=True)
class Replaced:
    """REPLACE of a literal by something: a template being filled."""

    inner: Node
    search: str
    by: Node
    raw: Raw


@dataclass(frozen=True, slots=True)
class Encoded:
    """A function or REPLACE that encodes for a URL; `how` names it."""

    inner: Node
    how: str
    line: int


Node = Literal | Reference | Raw | Joined | Wrapped | Replaced | Encoded


def parse_expression(tokens: Sequence[Token]) -> Node:
    """Read an expression; one nested beyond all reason stays SQL."""
    depth = deepest = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        deepest = max(deepest, depth)
    return _parse(tokens) if deepest <= _DEPTH else _raw(tokens)


def _parse(tokens: Sequence[Token]) -> Node:
    terms = _split(tokens, "+")
    if any(_loose_operator(t) for t in terms):
        return _raw(tokens)
    nodes = [node for term in terms for node in _neighbours(term)]
    return nodes[0] if len(nodes) == 1 else Joined(tuple(nodes))


def literals(node: Node) -> list[str]:
    """Return the text of every literal in a tree, also those inside SQL that is kept."""
    match node:
        case Literal():
            return [node.text]
        case Raw():
            return [t.value for t in node.tokens if t.kind is Kind.STRING]
        case Joined():
            return [text for part in node.parts for text in literals(part)]
        case Wrapped() | Encoded():
            return literals(node.inner)
        case Replaced():
            return literals(node.inner) + literals(node.by)
        case Reference():
            return []


def _split(tokens: Sequence[Token], separator: str) -> list[list[Token]]:
    """Split at an operator outside parentheses and CASE."""
    made: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.text == "(" or token.word == "case":
            depth += 1
        elif depth and (token.text == ")" or token.word == "end"):
            depth -= 1
        if depth == 0 and token.kind is Kind.OPERATOR and token.text == separator:
            made.append([])
        else:
            made[-1].append(token)
    return made


def _loose_operator(term: Sequence[Token]) -> bool:
    """True when a term holds an operator that binds no tighter than +, so the terms are not what they seem."""
    depth = 0
    for token in term:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.kind is Kind.OPERATOR and token.text in ("-", "&", "|", "^", "=", "<", ">", "<>"):
            return True
    return False


def _neighbours(term: list[Token]) -> list[Node]:
    """A term; where a quote was forgotten the literals beside each other are what was to be joined."""
    if len(term) > 1 and any(t.fault is Fault.OPENING for t in term) and all(t.kind is Kind.STRING for t in term):
        return [Literal(t.value, t.line, t.fault) for t in term]
    return [_term(term)]


def _term(term: list[Token]) -> Node:
    first = term[0] if term else None
    if first is not None and len(term) == 1:
        if first.kind in (Kind.STRING, Kind.NUMBER) or (first.kind is Kind.QUOTED and _is_text(first)):
            return Literal(first.value, first.line, first.fault)
        if first.kind is Kind.VARIABLE and not first.text.startswith("@@"):
            return Reference(first.text, first.line)
    if first is not None and first.text == "(" and term[-1].text == ")":
        inside = term[1:-1]
        if inside and inside[0].word != "select" and _balanced(inside):
            return _parse(inside)
    opened = next((i for i, t in enumerate(term) if t.text == "("), None)
    if opened and term[-1].text == ")" and _balanced(term[opened + 1 : -1]):
        head = term[:opened]
        if all(t.kind in (Kind.NAME, Kind.QUOTED) or t.text == "." for t in head):
            return _call("".join(t.value for t in head), _split(term[opened + 1 : -1], ","), _raw(term))
    return _raw(term)


def _call(name: str, arguments: list[list[Token]], raw: Raw) -> Node:
    match name.lower():
        case "concat":
            return Joined(tuple(_parse(a) for a in arguments), null_safe=True)
        case "isnull" | "coalesce" if len(arguments) == 2 and _text(arguments[1]) == "":
            return Wrapped(_parse(arguments[0]), raw)
        case "cast" | "try_cast":
            split = next((i for i, t in enumerate(arguments[0]) if t.word == "as"), None)
            if split is not None and len(arguments) == 1:
                return _cast(arguments[0][:split], arguments[0][split + 1 :], raw)
        case "convert" | "try_convert" if len(arguments) in (2, 3):
            return _cast(arguments[1], arguments[0], raw)
        case "replace" if len(arguments) == 3:
            search, by = _text(arguments[1]), _text(arguments[2])
            if search and by and by.upper() in _codes(search):
                how = f"REPLACE(…, {''.join(t.text for t in arguments[1])}, '{by}')"
                return Encoded(_parse(arguments[0]), how, raw.line)
            if search:
                return Replaced(_parse(arguments[0]), search, _parse(arguments[2]), raw)
        case _ if _ENCODER.search(name) and arguments[0]:
            return Encoded(_parse(arguments[0]), name, raw.line)
    return raw


def _cast(value: list[Token], type: list[Token], raw: Raw) -> Node:
    cut = None
    if type and _TEXT_TYPE.match(type[0].value):
        numbers = [int(t.text) for t in type if t.kind is Kind.NUMBER and t.text.isdigit()]
        cut = numbers[0] if numbers else 30 if len(type) == 1 else None
    return Wrapped(_parse(value), Raw(raw.tokens, raw.line, cut))


def _text(tokens: list[Token]) -> str | None:
    """Return the text of a literal, or of CHAR(n)."""
    if len(tokens) == 1 and tokens[0].kind is Kind.STRING:
        return tokens[0].value
    if len(tokens) == 4 and tokens[0].word in ("char", "nchar") and tokens[2].text.isdigit():
        code = int(tokens[2].text)
        return chr(code) if code < 0xD800 else None
    return None


def _codes(text: str) -> set[str]:
    """Return what a text can be in a URL, in capitals."""
    found = {quote(text, safe="").upper(), quote(text, safe="", encoding="cp1252", errors="replace").upper()}
    return (found | {"+"} if text == " " else found) - {text.upper()}


def _balanced(tokens: Sequence[Token]) -> bool:
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0:
            return False
    return depth == 0


def _is_text(token: Token) -> bool:
    """True for "…" that can only be a literal, written under SET QUOTED_IDENTIFIER OFF."""
    return token.text.startswith('"') and any(c in token.value for c in "/?&= ")


def _raw(tokens: Sequence[Token]) -> Raw:
    return Raw(tuple(tokens), tokens[0].line if tokens else 0)
