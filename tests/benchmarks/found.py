"""What a benchmark found for one row of the table, and what is to be made of it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.goals import Database, Goal
from tests.benchmarks.spread import Spread


@dataclass(frozen=True, slots=True)
class Found:
    """One row's figures.

    Attributes:
        name, database: Of the goal.
        measured: Of the product.
        against: Of what it is compared with; None when it is judged by itself.
        notes: What else is to be known of them, a sentence each.
        curve: Points for a plot.
    """

    name: str
    database: Database
    measured: Spread
    against: Spread | None = None
    notes: tuple[str, ...] = ()
    curve: tuple[tuple[float, float], ...] = ()

    @property
    def figure(self) -> float:
        """What the goal is about: the ratio of the medians, or the median itself."""
        return self.measured.median if self.against is None else self.measured.over(self.against)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes:
        goal: What is to be reached.
        found: None when it was not measured.
        missing: Why not.
    """

    goal: Goal
    found: Found | None = None
    missing: str = ""

    @property
    def reached(self) -> bool | None:
        """None when it was not measured."""
        return None if self.found is None else self.goal.reached(self.found.figure)
