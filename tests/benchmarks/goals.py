"""What is measured, against what, and what is to be reached: the whole table in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Where the outbox is: in a file, or on a T-SQL engine.
Database = Literal["embedded", "T-SQL"]
EMBEDDED: Database = "embedded"
TSQL: Database = "T-SQL"
BOTH: tuple[Database, ...] = (EMBEDDED, TSQL)


@dataclass(frozen=True, slots=True)
class Goal:
    """One row of the table.

    Attributes:
        benchmark: Name of the module that measures it, as in --only.
        name: Tells it apart within the database.
        what: In a few words, the unit at the end.
        against: What it is compared with; "" when it is judged by itself.
        database: Where the outbox is.
        at_least, at_most: Bounds of the ratio, or of the figure itself where it is compared with nothing.
        decimals: With which the figure and its bound are shown.
    """

    benchmark: str
    name: str
    what: str
    against: str
    database: Database
    at_least: float | None = None
    at_most: float | None = None
    decimals: int = 2

    def reached(self, figure: float) -> bool:
        """True when the figure is within the bounds, both included."""
        low = self.at_least is None or figure >= self.at_least
        return low and (self.at_most is None or figure <= self.at_most)

    @property
    def to_reach(self) -> str:
        """The bounds as text."""
        low, high = (None if b is None else f"{b:,.{self.decimals}f}" for b in (self.at_least, self.at_most))
        if low and high:
            return f"{low}–{high}"
        return f"≥ {low}" if low else f"≤ {high}"


def _on(databases: tuple[Database, ...], *about: str, **bounds: float) -> list[Goal]:
    benchmark, name, what, against = about
    decimals = int(bounds.pop("decimals", 2))
    return [Goal(benchmark, name, what, against, database, decimals=decimals, **bounds) for database in databases]


GOALS: tuple[Goal, ...] = (
    Goal("end_to_end", "one", "no latency: messages/s", "bare requests, no database", EMBEDDED, at_least=0.80),
    Goal("end_to_end", "one", "no latency: messages/s", "bare requests, no database", TSQL, at_least=0.75),
    *_on(BOTH, "end_to_end", "two", "no latency, two workers: messages/s", "one bare process", at_least=1.3),
    *_on(BOTH, "latency", "script", "50 ms latency: messages/s", "a DBA's script", at_least=30, decimals=1),
    *_on(BOTH, "latency", "limit", "50 ms latency: messages/s", "concurrency ÷ latency", at_least=0.90),
    *_on(BOTH, "exchange", "script", "exchange of 200: rows/s", "a script, row by row", at_least=10, decimals=1),
    *_on(BOTH, "exchange", "rate", "exchange of 200: rows/s", "", at_least=5000, decimals=0),
    *_on(BOTH, "statements", "statements", "database calls a message", "", at_most=0.05, decimals=3),
    *_on(BOTH, "idle", "statements", "idle: database calls/s", "", at_most=0.5),
    *_on(BOTH, "idle", "cpu", "idle: % of a processor", "", at_most=0.5),
    *_on(BOTH, "growth", "finished", "1,000,000 finished: ms an exchange", "10,000 finished", at_most=1.2),
    *_on(BOTH, "growth", "waiting", "1,000,000 waiting: ms an exchange", "10,000 waiting", at_most=1.5),
    Goal("enqueue", "trigger", "trigger, UPDATE of 1,000: ms more", "plain INSERT of 1,000", TSQL, at_most=1.2),
    Goal("enqueue", "exec", "EXEC afil.send_message: ms", "plain INSERT of a row", TSQL, at_most=1.5),
    *_on(BOTH, "response_time", "p50", "quiet, commit to API: p50 in s", "", at_most=0.15),
    *_on(BOTH, "response_time", "p99", "quiet, commit to API: p99 in s", "", at_most=2.2),
    *_on(BOTH, "memory", "flat", "a million waiting: MB at the end", "the first minute", at_least=0.95, at_most=1.05),
    *_on(BOTH, "memory", "most", "a million waiting: MB at most", "", at_most=150, decimals=0),
    Goal("startup", "help", "afilsql --help: s", "import requests, sqlalchemy", EMBEDDED, at_most=1.3),
    Goal("startup", "status", "afilsql status: s", "import requests, sqlalchemy", EMBEDDED, at_most=1.3),
    *_on(BOTH, "scale", "2", "200 ms latency, 2 workers: messages/s", "2 × one worker", at_least=0.9),
    *_on(BOTH, "scale", "4", "200 ms latency, 4 workers: messages/s", "4 × one worker", at_least=0.9),
    *_on(BOTH, "scale", "8", "200 ms latency, 8 workers: messages/s", "8 × one worker", at_least=0.9),
)  # fmt: skip
