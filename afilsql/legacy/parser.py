"""From tokens to the events of a batch: one recursive descent over the few statements that matter."""

from __future__ import annotations

from afilsql.legacy.dataflow import DataReader
from afilsql.legacy.lexer import Kind, Token
from afilsql.legacy.reader import STARTS
from afilsql.legacy.statements import Argument, Branch, Execution, Jump, Path, Script

_MODULES = {"proc": "procedure", "procedure": "procedure", "function": "function", "trigger": "trigger"}
#: Deeper nesting than this is read flat, so that no input exhausts the stack.
_DEPTH = 100


def parse(tokens: list[Token]) -> Script:
    """Read one batch of significant tokens."""
    return _Parser(tokens).run()


class _Parser(DataReader):
    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.branches = 0
        self.depth = 0

    def run(self) -> Script:
        while self.at < len(self.tokens):
            self.body(())
        return self.script

    def jump(self, line: int, path: Path, kind: str, target: str = "") -> None:
        self.emit(Jump(len(self.script.events), line, path, kind, target))

    def statement(self, path: Path) -> None:
        match self.word():
            case "if" | "while" if len(path) < _DEPTH:
                self.branch(path)
            case "begin":
                self.block(path)
            case "declare":
                self.declare(path)
            case "set" if self.kind(1) is Kind.VARIABLE:
                self.at += 1
                self.assignment(path, "set")
            case "select":
                self.select(path)
            case "fetch":
                self.fetch(path)
            case "exec" | "execute":
                self.execute(path)
            case "create" | "alter":
                self.module()
            case "insert":
                self.insert(path)
            case "return" | "throw" | "waitfor" | "goto" | "commit" | "rollback":
                kind, line = self.word(), self.line()
                self.jump(line, path, kind, self.word(1))
                self.at += 1
                self.take_until()
            case word if word.startswith("sp_") and (self.at == 0 or word.startswith(("sp_oa", "sp_configure"))):
                self.procedure(path, self.line())
            case word if word and word not in STARTS and self.is_op(":", 1):
                self.jump(self.line(), path, "label", word)
                self.at += 2
            case _:
                self.at += 1

    def branch(self, path: Path) -> None:
        """IF … ELSE …, or WHILE. A chain of ELSE IF is read in a loop, not by recursion."""
        while True:
            kind, line = self.word(), self.line()
            self.at += 1
            condition = self.take_until()
            self.branches += 1
            self.body((*path, Branch(kind, line, condition, self.branches)))
            if self.is_op(";") and self.word(1) == "else":
                self.at += 1
            if kind == "while" or self.word() != "else":
                return
            self.branches += 1
            path = (*path, Branch("else", self.line(), condition, self.branches))
            self.at += 1
            if self.word() != "if" or len(path) >= _DEPTH:
                self.body(path)
                return

    def body(self, path: Path) -> None:
        before = self.at
        self.statement(path)
        if self.at == before:
            self.at += 1

    def block(self, path: Path) -> None:
        line = self.line()
        if self.word(1) in ("tran", "transaction", "distributed", "dialog", "conversation"):
            if "tran" in self.word(1) + self.word(2):
                self.jump(line, path, "begin")
            self.at += 2
            return
        self.at += 1
        if self.word() in ("try", "catch"):
            if self.word() == "catch":
                self.branches += 1
                path = (*path, Branch("catch", line, (), self.branches))
            self.at += 1
        self.depth += 1
        while self.depth <= _DEPTH and self.at < len(self.tokens) and self.word() != "end":
            self.body(path)
        self.depth -= 1
        if self.word() == "end":
            self.at += 2 if self.word(1) in ("try", "catch", "conversation") else 1

    def insert(self, path: Path) -> None:
        self.at += 1
        while self.peek() is not None and not self.is_op(";") and not self.starts_statement():
            self.at += 1
        if self.word() in ("exec", "execute"):
            self.execute(path, fills_table=True)
        elif self.word() == "select":
            self.select(path)

    def execute(self, path: Path, *, fills_table: bool = False) -> None:
        line = self.line()
        self.at += 1
        if self.word() == "as":
            self.at += 2
            return
        if self.kind() is Kind.VARIABLE and self.is_op("=", 1):
            self.at += 2
        if self.is_op("("):
            inside = Argument(self.take_parentheses())
            self.emit(Execution(len(self.script.events), line, path, "", (inside,), fills_table))
            return
        self.procedure(path, line, fills_table=fills_table)

    def procedure(self, path: Path, line: int, *, fills_table: bool = False) -> None:
        name = self.take_name().rpartition(".")[2].lower()
        arguments: list[Argument] = []
        while self.peek() is not None and not self.is_op(";"):
            if not arguments and self.starts_statement():
                break
            if self.kind() is Kind.VARIABLE and self.is_op("=", 1):
                self.at += 2
            value = self.argument()
            output = self.word() in ("out", "output")
            self.at += output
            arguments.append(Argument(value, output))
            if not self.is_op(","):
                break
            self.at += 1
        self.emit(Execution(len(self.script.events), line, path, name, tuple(arguments), fills_table))
        for argument in arguments:
            if argument.is_output and argument.token and argument.token.kind is Kind.VARIABLE:
                self.assign(line, path, argument.token.text, "output", (), name)

    def argument(self) -> tuple[Token, ...]:
        """One value: a token, or (though T-SQL allows none here) an expression. Words such as Open are values too."""
        if self.kind() is Kind.OPERATOR or (
            self.kind(1) is Kind.OPERATOR and not (self.is_op(",", 1) or self.is_op(";", 1))
        ):
            return self.take_until(lambda: self.is_op(",") or self.word() in ("out", "output", "with"))
        self.at += 1
        return tuple(self.tokens[self.at - 1 : self.at])

    def module(self) -> None:
        """The head of CREATE PROCEDURE, FUNCTION or TRIGGER, up to its AS; other statements are stepped over."""
        self.at += 1
        while self.word() in ("or", "alter"):
            self.at += 1
        kind = _MODULES.get(self.word())
        if kind is None:
            return
        self.at += 1
        self.script.module_kind, self.script.module_name = kind, self.take_name()
        returns = False
        while self.peek() is not None and self.word() != "as":
            returns = returns or self.word() == "returns"
            if self.kind() is Kind.VARIABLE and not returns:
                self.declaration((), is_parameter=True)
                continue
            self.at += 2 if self.word() in ("execute", "exec") else 1
        self.at += 1
