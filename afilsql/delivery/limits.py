"""How much a worker takes of each account: fair shares, rates, and a breaker for when most calls fail. Pure.

The state that workers share is the outbox's (rests, rates, closed accounts); here is what one worker sees by itself.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from afilsql.outbox.records import Limit

#: Seconds within which calls count for the breaker, and how many at most, the last ones.
WINDOW, LATEST = 60.0, 20


@dataclass(frozen=True, slots=True)
class Breaker:
    """When the breaker of an account opens.

    Attributes:
        calls: Of at least so many within a minute …
        share: … this share failed. 0 calls never open it.
    """

    calls: int = 5
    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second of an account, all workers together, and how many may go at once after a pause."""

    per_second: float
    burst: float | None = None


@dataclass(slots=True)
class _Seen:
    """The latest calls of one account: when each ended, and whether it succeeded."""

    calls: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=LATEST))
    tripped: bool = False


@dataclass(frozen=True, slots=True)
class Trip:
    """The breaker of an account opens: of `calls`, `failures` failed."""

    account: str
    failures: int
    calls: int


class Limits:
    """What a worker knows of its accounts.

    Args:
        share: Calls at a time that one account may have of this worker.
        rates: By account name; an account without one has no limit.
        monotonic: Seconds that never go back.
        breaker: When it opens.
    """

    def __init__(
        self,
        share: int,
        rates: Mapping[str, Rate],
        monotonic: Callable[[], float],
        breaker: Breaker = Breaker(),
    ) -> None:
        self.share = share
        self._breaker = breaker
        self._rates = rates
        self._monotonic = monotonic
        self._flying: Counter[str] = Counter()
        self._seen: dict[str, _Seen] = {}

    def change(self, share: int, rates: Mapping[str, Rate], breaker: Breaker) -> None:
        """Limit otherwise from now on; what was counted stays."""
        self.share, self._rates, self._breaker = share, rates, breaker

    def begin(self, account: str) -> None:
        """Count a call that begins."""
        self._flying[account] += 1

    def end(self, account: str, healthy: bool | None) -> Trip | None:
        """Count a call that has ended; return a Trip when it opens the breaker.

        Args:
            account: Whose call it was.
            healthy: Whether the API and the account worked; None when the call shows nothing.
        """
        self._flying[account] -= 1
        if not self._flying[account]:
            del self._flying[account]
        if healthy is None:
            return None
        now, seen = self._monotonic(), self._seen.setdefault(account, _Seen())
        seen.calls.append((now, healthy))
        if healthy:
            return None
        recent = [ok for at, ok in seen.calls if now - at <= WINDOW]
        failures = recent.count(False)
        enough = 0 < self._breaker.calls <= len(recent)
        if not enough or failures < len(recent) * self._breaker.share:
            return None
        seen.calls.clear()
        seen.tripped = True
        return Trip(account, failures, len(recent))

    def now(self, take: int) -> list[Limit]:
        """Return what is to be said of accounts at an exchange: nothing of one that may have all that is taken."""
        tripped = {name for name, seen in self._seen.items() if seen.tripped}
        short = {name: max(0, self.share - n) for name, n in self._flying.items() if self.share - n < take}
        return [
            Limit(
                name,
                room=short.get(name),
                rate=rate.per_second if (rate := self._rates.get(name)) else None,
                burst=rate.burst if rate else None,
                tripped=name in tripped,
            )
            for name in sorted({*short, *self._rates, *tripped})
        ]

    def told(self) -> None:
        """Note that the outbox knows which breakers are open."""
        for seen in self._seen.values():
            seen.tripped = False
