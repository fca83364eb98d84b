"""A place among a batch's tokens, and the ways to move it."""

from __future__ import annotations

from collections.abc import Callable

from afilsql.legacy.lexer import Kind, Token

#: Words that start a statement.
STARTS = frozenset(
    (
        "alter",
        "begin",
        "break",
        "close",
        "commit",
        "continue",
        "create",
        "deallocate",
        "declare",
        "delete",
        "drop",
        "end",
        "exec",
        "execute",
        "fetch",
        "goto",
        "if",
        "insert",
        "merge",
        "open",
        "print",
        "raiserror",
        "return",
        "rollback",
        "save",
        "select",
        "set",
        "throw",
        "truncate",
        "update",
        "use",
        "waitfor",
        "while",
        "else",
        "grant",
        "revoke",
        "deny",
    )
)


class Reader:
    """Tokens, and where the reader is among them."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self, ahead: int = 0) -> Token | None:
        place = self.at + ahead
        return self.tokens[place] if place < len(self.tokens) else None

    def word(self, ahead: int = 0) -> str:
        """Return a bare name in lower case; nothing for any other token."""
        token = self.peek(ahead)
        return token.word if token else ""

    def is_op(self, text: str, ahead: int = 0) -> bool:
        token = self.peek(ahead)
        return token is not None and token.kind is Kind.OPERATOR and token.text == text

    def kind(self, ahead: int = 0) -> Kind | None:
        token = self.peek(ahead)
        return token.kind if token else None

    def line(self) -> int:
        token = self.peek() or (self.tokens[-1] if self.tokens else None)
        return token.line if token else 1

    def starts_statement(self) -> bool:
        if self.word() == "update" and self.is_op("(", 1):
            return False  # IF UPDATE(column)
        return self.word() in STARTS

    def take_until(self, stop: Callable[[], bool] = lambda: False) -> tuple[Token, ...]:
        """Take tokens up to a stop outside parentheses and CASE, a semicolon or the next statement."""
        start, cases = self.at, 0
        while (token := self.peek()) is not None:
            if cases == 0 and (self.is_op(";") or self.is_op(")") or stop() or self.starts_statement()):
                break
            if self.is_op("("):
                self.take_parentheses()
                continue
            cases += (token.word == "case") - (token.word == "end" and cases > 0)
            self.at += 1
        return tuple(self.tokens[start : self.at])

    def take_parentheses(self) -> tuple[Token, ...]:
        """Take a parenthesis with what is in it, and return what is in it."""
        start, depth = self.at + 1, 0
        while self.peek() is not None:
            depth += self.is_op("(") - self.is_op(")")
            self.at += 1
            if depth == 0:
                return tuple(self.tokens[start : self.at - 1])
        return tuple(self.tokens[start : self.at])

    def take_name(self) -> str:
        """Take a name of one or more parts and return them without delimiters, joined by dots."""
        parts: list[str] = []
        while (token := self.peek()) and token.kind in (Kind.NAME, Kind.QUOTED, Kind.VARIABLE):
            parts.append(token.value)
            self.at += 1
            if not self.is_op("."):
                break
            while self.is_op("."):
                self.at += 1
        return ".".join(parts)
