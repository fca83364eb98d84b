"""Passwords are found in order never to be printed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import unquote_plus

from afilsql.legacy.lexer import Kind, Token

MASK = "***"
_NAME = r"(?:pass\w*|pwd|contrase\w*|clave|secret\w*)"
#: What looks like a password whatever the parser made of the text: `@password … = '…'` and `password=…&`.
_ASSIGNED = re.compile(rf"{_NAME}\w*\b[^'\n;]{{0,60}}'((?:[^'\n]|'')*)'", re.I)
_IN_URL = re.compile(rf"{_NAME}=([^&'\"\s+]+)", re.I)
#: A secret shorter than this hides a literal that equals it, not every literal in which it occurs.
_SHORT = 4


class Secrets:
    """The passwords of one source."""

    def __init__(self, text: str, found: Iterable[str] = ()) -> None:
        """Collect them: those the calls show, and what looks like one in the text."""
        loose = {m.replace("''", "'") for pattern in (_ASSIGNED, _IN_URL) for m in pattern.findall(text)}
        every = {*found, *(s for s in loose if len(s) >= _SHORT)}
        self.values = sorted({v for s in every for v in (s, unquote_plus(s)) if v.strip()}, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return a text from the source with every password replaced."""
        for value in self.values:
            if text == value or (len(value) >= _SHORT and value in text):
                text = text.replace(value, MASK)
        return text

    def hide_tokens(self, tokens: Sequence[Token]) -> list[Token]:
        """Return SQL with every literal cleared of passwords."""
        made: list[Token] = []
        for token in tokens:
            if token.kind in (Kind.STRING, Kind.QUOTED, Kind.NUMBER, Kind.NAME):
                hidden = self.hide(token.value)
                if hidden != token.value and (token.kind is not Kind.NAME or hidden == MASK):
                    token = replace(token, text="N'" + hidden.replace("'", "''") + "'", value=hidden)
            made.append(token)
        # Where quotes are damaged a password can lie spread over several tokens.
        joined = "".join(t.text for t in made)
        if any(len(v) >= _SHORT and "".join(v.split()) in joined for v in self.values):
            return [Token(Kind.STRING, f"N'{MASK}'", tokens[0].line, MASK)]
        return made
