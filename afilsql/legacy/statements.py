"""Statements of a batch, as far as a call to a web service needs them: what happens to variables, and what is run.

The parser is tolerant: what it does not know it steps over, token by token, until a statement starts that it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from afilsql.legacy.lexer import Kind, Token

_TEXT = frozenset({"char", "varchar", "nchar", "nvarchar", "text", "ntext", "sysname"})
_NATIONAL = frozenset({"nchar", "nvarchar", "ntext", "sysname"})
_NUMERIC = frozenset({"int", "bigint", "smallint", "tinyint", "bit", "uniqueidentifier", "decimal", "numeric"})


@dataclass(frozen=True, slots=True)
class SqlType:
    """A declared type; `length` is None for max, and for types without one."""

    name: str
    length: int | None = None

    @property
    def is_text(self) -> bool:
        return self.name in _TEXT

    @property
    def is_national(self) -> bool:
        return self.name in _NATIONAL

    @property
    def is_numeric(self) -> bool:
        """True when a value of it needs no encoding in a URL."""
        return self.name in _NUMERIC

    def __str__(self) -> str:
        if self.name in ("char", "varchar", "nchar", "nvarchar"):
            return f"{self.name}({self.length or 'max'})"
        return self.name


@dataclass(frozen=True, slots=True)
class Branch:
    """A place that code reaches only sometimes: kind is if, else, while or catch."""

    kind: str
    line: int
    condition: tuple[Token, ...] = ()
    number: int = 0


Path = tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable or parameter."""

    name: str
    type: SqlType
    line: int
    is_parameter: bool = False


@dataclass(frozen=True, slots=True)
class Assignment:
    """A variable gets a value. `how` is set, append, row (SELECT … FROM), fetch, output or parameter."""

    index: int
    line: int
    path: Path
    name: str
    how: str
    value: tuple[Token, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an EXEC."""

    tokens: tuple[Token, ...]
    is_output: bool = False

    @property
    def token(self) -> Token | None:
        """The argument's only token; None when it has several, which no EXEC may have."""
        return self.tokens[0] if len(self.tokens) == 1 else None


@dataclass(frozen=True, slots=True)
class Execution:
    """A procedure is run; `name` is its last part in lower case, empty for EXEC ('…')."""

    index: int
    line: int
    path: Path
    name: str
    arguments: tuple[Argument, ...]
    fills_table: bool = False


@dataclass(frozen=True, slots=True)
class Jump:
    """Control leaves or waits: return, throw, goto, label, waitfor, begin, commit, rollback (of a transaction)."""

    index: int
    line: int
    path: Path
    kind: str
    target: str = ""


Event = Assignment | Execution | Jump


@dataclass(slots=True)
class Script:
    """One batch: its events in source order, its variables by lower-case name, the module it creates.

    Attributes:
        module_kind: procedure, function, trigger, or empty.
        module_name: As written, without delimiters.
        cursors: A cursor's column expressions, as SQL, by its lower-case name.
    """

    tokens: list[Token]
    events: list[Event] = field(default_factory=list)
    variables: dict[str, Variable] = field(default_factory=dict)
    module_kind: str = ""
    module_name: str = ""
    cursors: dict[str, list[str]] = field(default_factory=dict)

    def assignments(self, name: str) -> list[Assignment]:
        """Return a variable's assignments in source order."""
        return [e for e in self.events if isinstance(e, Assignment) and e.name == name.lower()]

    def type_of(self, name: str) -> SqlType | None:
        """Return a variable's declared type, None when it is not declared here."""
        found = self.variables.get(name.lower())
        return found.type if found else None


def batches(found: Sequence[Token]) -> list[list[Token]]:
    """Split significant tokens at GO; empty batches are left out."""
    made: list[list[Token]] = [[]]
    for token in found:
        if token.kind is Kind.GO:
            made.append([])
        else:
            made[-1].append(token)
    return [b for b in made if b]


def sql_of(parts: Sequence[Token]) -> str:
    """Write tokens as SQL on one line."""
    out = ""
    for before, token in zip((None, *parts), parts, strict=False):
        tight = token.text in ",.);" or (before is not None and before.text in "(.@" and before.kind is Kind.OPERATOR)
        tight = tight or (token.text == "(" and before is not None and before.kind in (Kind.NAME, Kind.QUOTED))
        out += ("" if tight or not out else " ") + token.text
    return out
