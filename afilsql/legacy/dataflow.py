"""What happens to variables: declarations, assignments, SELECT @x = …, FETCH … INTO."""

from __future__ import annotations

from dataclasses import replace

from afilsql.legacy.lexer import Kind, Token
from afilsql.legacy.reader import Reader
from afilsql.legacy.statements import Assignment, Event, Path, Script, SqlType, Variable, sql_of

_CLAUSES = frozenset({"from", "where", "group", "order", "having", "option", "union", "into", "for"})
_ASSIGNS = frozenset({"=", "+="})


class DataReader(Reader):
    """Reads the statements that give variables their values."""

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.script = Script(tokens)

    def emit(self, event: Event) -> None:
        self.script.events.append(event)

    def assign(self, line: int, path: Path, name: str, how: str, value: tuple[Token, ...] = (), src: str = "") -> None:
        self.emit(Assignment(len(self.script.events), line, path, name.lower(), how, value, src))

    def declare(self, path: Path) -> None:
        self.at += 1
        if self.kind() is not Kind.VARIABLE:
            self.cursor()
            return
        while self.kind() is Kind.VARIABLE:
            self.declaration(path, is_parameter=False)
            if not self.is_op(","):
                break
            self.at += 1

    def declaration(self, path: Path, *, is_parameter: bool) -> None:
        """`@name [AS] type [= value]`, in DECLARE or among a module's parameters."""
        token = self.tokens[self.at]
        self.at += 1
        if self.word() == "as":
            self.at += 1
        name = token.text.lower()
        self.script.variables[name] = Variable(token.text, self.type(), token.line, is_parameter)
        if is_parameter:
            self.assign(token.line, path, name, "parameter")
        if self.is_op("="):
            self.at += 1
            value = self.take_until(lambda: self.is_op(",") or self.word() in ("out", "output", "readonly", "as"))
            if not is_parameter:
                self.assign(token.line, path, name, "set", value)
        while is_parameter and self.word() in ("out", "output", "readonly", "varying", "null", "not"):
            self.at += 1

    def type(self) -> SqlType:
        name = self.take_name().rpartition(".")[2].lower()
        length: int | None = 1 if name in ("char", "varchar", "nchar", "nvarchar") else None
        if self.is_op("("):
            inside = self.take_parentheses()
            first = inside[0].text.lower() if inside else ""
            length = int(first) if first.isdigit() and name in ("char", "varchar", "nchar", "nvarchar") else None
        return SqlType(name, length)

    def cursor(self) -> None:
        name = self.peek()
        while self.peek() is not None and self.word() != "select" and not self.is_op(";"):
            self.at += 1
        if name is None or self.word() != "select":
            return
        self.at += 1
        columns: list[str] = []
        while True:
            columns.append(sql_of(self.take_until(lambda: self.is_op(",") or self.word() in _CLAUSES)))
            if not self.is_op(","):
                break
            self.at += 1
        self.script.cursors[name.value.lower()] = columns
        self.take_until()

    def assignment(self, path: Path, how: str) -> None:
        """`@name = expression` or `@name += expression`."""
        name = self.tokens[self.at]
        self.at += 1
        operator = self.peek()
        if operator is None or operator.text not in _ASSIGNS:
            return
        self.at += 1
        value = self.take_until(lambda: self.is_op(",") or self.word() in _CLAUSES)
        appended = operator.text == "+=" and how == "set"
        self.assign(name.line, path, name.text, "append" if appended else how, value)

    def select(self, path: Path) -> None:
        self.at += 1
        while self.word() in ("distinct", "all", "top", "percent") or (
            self.word(-1) == "top" and self.kind() is Kind.NUMBER
        ):
            self.at += 1
            if self.is_op("("):
                self.take_parentheses()
        first = len(self.script.events)
        while True:
            if self.kind() is Kind.VARIABLE and (after := self.peek(1)) and after.text in _ASSIGNS:
                self.assignment(path, "set")
            else:
                self.take_until(lambda: self.is_op(",") or self.word() in _CLAUSES)
            if not self.is_op(","):
                break
            self.at += 1
        if self.word() == "from":
            source = sql_of(self.take_until())
            for i, event in enumerate(self.script.events[first:], first):
                if isinstance(event, Assignment):
                    self.script.events[i] = replace(event, how="row", source=source)

    def fetch(self, path: Path) -> None:
        line = self.line()
        names: list[str] = []
        while self.peek() is not None and self.word() != "into" and not self.is_op(";"):
            if self.kind() in (Kind.NAME, Kind.QUOTED):
                names.append(self.tokens[self.at].value.lower())
            self.at += 1
            if self.starts_statement():
                return
        if self.word() != "into":
            return
        self.at += 1
        columns = self.script.cursors.get(names[-1] if names else "", [])
        position = 0
        while self.kind() is Kind.VARIABLE:
            column = columns[position] if position < len(columns) else ""
            self.assign(line, path, self.tokens[self.at].text, "fetch", (), column)
            position += 1
            self.at += 1
            if not self.is_op(","):
                break
            self.at += 1
