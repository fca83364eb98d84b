"""Which leases a worker holds, and which are due for renewal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from uuid import UUID


class Leases:
    """The leases of the rows in flight. Rows may share one.

    Args:
        every: Seconds after which a lease is renewed.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._rows: Counter[UUID] = Counter()
        self._renewed_at: dict[UUID, float] = {}

    def add(self, lease_id: UUID, now: float) -> None:
        """Count one more row under this lease, taken at the monotonic time `now`."""
        self._rows[lease_id] += 1
        self._renewed_at.setdefault(lease_id, now)

    def remove(self, lease_id: UUID) -> None:
        """Count one row less; the last one ends the lease."""
        self._rows[lease_id] -= 1
        if self._rows[lease_id] <= 0:
            del self._rows[lease_id]
            del self._renewed_at[lease_id]

    def due(self, now: float) -> tuple[UUID, ...]:
        """Return the leases to renew now."""
        return tuple(lease for lease, at in self._renewed_at.items() if now - at >= self._every)

    def renewed(self, leases: Iterable[UUID], now: float) -> None:
        """Note that these were renewed by an exchange that began at `now`."""
        self._renewed_at.update((lease, now) for lease in leases if lease in self._renewed_at)

    def next_due_in(self, now: float) -> float | None:
        """Return the seconds until the next renewal, None when no row is in flight."""
        oldest = min(self._renewed_at.values(), default=None)
        return None if oldest is None else max(0.0, oldest + self._every - now)
