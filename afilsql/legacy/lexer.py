"""A tolerant T-SQL lexer: any text becomes tokens, and the tokens' texts joined are the text again.

Published samples do not always lex as their authors meant. Two slips are understood and marked in `Token.fault`:
a literal whose opening quote was forgotten (`'…?'&class='`), and one whose closing quote was forgotten and which
would run through the statements below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a token is."""

    SPACE = "space"
    COMMENT = "comment"
    STRING = "string"
    NAME = "name"
    QUOTED = "quoted"
    VARIABLE = "variable"
    NUMBER = "number"
    OPERATOR = "operator"
    GO = "go"


class Fault(StrEnum):
    """What is wrong with a literal."""

    OPENING = "opening quote missing"
    CLOSING = "closing quote missing"


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes:
        kind: What it is.
        text: Its characters in the source.
        line: Its first line, counted from 1.
        value: A literal's characters, a delimited identifier's name; else the text.
        fault: Set on a literal that lacks a quote.
    """

    kind: Kind
    text: str
    line: int
    value: str
    fault: Fault | None = None

    @property
    def word(self) -> str:
        """The text in lower case when it is a bare name, else nothing: keywords are compared with this."""
        return self.text.lower() if self.kind is Kind.NAME else ""

    @property
    def is_national(self) -> bool:
        """True for N'…'."""
        return self.kind is Kind.STRING and self.text[:1] in "Nn"


_SPACE = re.compile(r"\s+")
_STRING = re.compile(r"'([^']*(?:''[^']*)*)('?)")
_LINE_COMMENT = re.compile(r"--[^\n]*")
_BLOCK_EDGE = re.compile(r"/\*|\*/")
#: A name has 128 characters at most; looking further for the end would take a file of brackets quadratic time.
_BRACKETED = re.compile(r"\[(?:[^\]]|\]\]){0,128}\]")
_DOUBLE_QUOTED = re.compile(r'"[^"]*(?:""[^"]*)*"')
_VARIABLE = re.compile(r"@@?[\w@#$]+")
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_NAME = re.compile(r"[^\W\d][\w@#$]*|#[\w@#$]+")
_OPERATOR = re.compile(r"\+=|-=|\*=|/=|%=|&=|\|=|\^=|<>|<=|>=|!=|!<|!>|::")
_GO = re.compile(r"[Gg][Oo](?:[ \t]+\d+)?(?=[ \t]*;?[ \t]*(?:--[^\n]*)?\r?(?:\n|\Z))")
#: `'…?+'&class='`: bitwise AND of a piece of a URL and a column is never meant; a quote was forgotten before the &.
_OPENING_FORGOTTEN = re.compile(r"&\w+='")
_STATEMENT_BELOW = re.compile(r"\n[ \t]*(?:GO[ \t]*\r?\n|(?:DECLARE|EXEC|EXECUTE|SET|IF|BEGIN|CREATE)\b|sp_\w)", re.I)
_WORD_BEHIND = re.compile(r"(?!(?:AS|FROM|COLLATE|THEN|ELSE|END|AND|OR|WHEN)\b)\w", re.I)


def tokens(text: str) -> list[Token]:
    """Split T-SQL into tokens; never fails."""
    made: list[Token] = []
    line = 1
    for kind, piece, value, fault in _pieces(text):
        made.append(Token(kind, piece, line, value, fault))
        line += piece.count("\n")
    return made


def significant(found: list[Token]) -> list[Token]:
    """Return the tokens without spaces and comments."""
    return [t for t in found if t.kind not in (Kind.SPACE, Kind.COMMENT)]


_Piece = tuple[Kind, str, str, Fault | None]


def _pieces(text: str) -> Iterator[_Piece]:
    at = 0
    while at < len(text):
        piece = _piece(text, at)
        yield piece
        at += len(piece[1])
        if piece[0] is Kind.STRING and any(c in piece[2] for c in "?&/"):
            opening = _OPENING_FORGOTTEN.match(text, at)
            if opening:
                yield Kind.STRING, opening[0], opening[0][:-1], Fault.OPENING
                at = opening.end()


def _piece(text: str, at: int) -> _Piece:
    """Return the token that starts at a place."""
    char = text[at]
    if found := _SPACE.match(text, at):
        return Kind.SPACE, found[0], found[0], None
    if char == "'":
        return _string(text, at, at)
    if char in "Nn" and text[at + 1 : at + 2] == "'":
        return _string(text, at, at + 1)
    if found := _LINE_COMMENT.match(text, at):
        return Kind.COMMENT, found[0], found[0], None
    if text.startswith("/*", at):
        comment = text[at : _end_of_comment(text, at)]
        return Kind.COMMENT, comment, comment, None
    if found := _BRACKETED.match(text, at):
        return Kind.QUOTED, found[0], found[0][1:-1].replace("]]", "]"), None
    if found := _DOUBLE_QUOTED.match(text, at):
        return Kind.QUOTED, found[0], found[0][1:-1].replace('""', '"'), None
    if char in "gG" and not text[text.rfind("\n", 0, at) + 1 : at].strip() and (found := _GO.match(text, at)):
        return Kind.GO, found[0], found[0], None
    for kind, pattern in (
        (Kind.VARIABLE, _VARIABLE),
        (Kind.NAME, _NAME),
        (Kind.NUMBER, _NUMBER),
        (Kind.OPERATOR, _OPERATOR),
    ):
        if found := pattern.match(text, at):
            return kind, found[0], found[0], None
    return Kind.OPERATOR, char, char, None


def _string(text: str, start: int, quote: int) -> _Piece:
    found = _STRING.match(text, quote)
    assert found, "the pattern matches from any quote on"
    body, closing = found[1], found[2]
    if (not closing or _WORD_BEHIND.match(text, found.end())) and _STATEMENT_BELOW.search(body):
        # The quote was meant to close on its own line: the statements below it are code, not text.
        piece = text[start : text.index("\n", quote)].rstrip("\r")
        return Kind.STRING, piece, piece[quote - start + 1 :].replace("''", "'"), Fault.CLOSING
    fault = None if closing else Fault.CLOSING
    return Kind.STRING, text[start : found.end()], body.replace("''", "'"), fault


def _end_of_comment(text: str, at: int) -> int:
    """Return where a block comment ends; comments nest."""
    depth = 0
    for edge in _BLOCK_EDGE.finditer(text, at):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)
