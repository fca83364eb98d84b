"""Figures measured several times, and what is read off them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure, measured again and again.

    Attributes:
        values: In the order they were measured; at least one.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a spread of no values: measure at least once")

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of so many values."""
        return cls(tuple(float(value) for value in values))

    @property
    def median(self) -> float:
        """The value in the middle; of an even number the mean of the middle two."""
        return statistics.median(self.values)

    @property
    def lowest(self) -> float:
        """The least."""
        return min(self.values)

    @property
    def highest(self) -> float:
        """The most."""
        return max(self.values)

    def percentile(self, percent: float) -> float:
        """Return the value that so many percent of all do not exceed: the nearest rank, never one made up between.

        Raises:
            ValueError: `percent` is not above 0 and at most 100.
        """
        if not 0 < percent <= 100:
            raise ValueError(f"there is no percentile {percent}: give one above 0, at most 100")
        rank = -(-len(self.values) * percent // 100)
        return sorted(self.values)[int(rank) - 1]

    def over(self, other: Spread) -> float:
        """Return how many times the other's median this one's is.

        Raises:
            ValueError: The other's median is 0.
        """
        if other.median == 0:
            raise ValueError("a ratio to a median of 0: measure for longer")
        return self.median / other.median
