"""The worker's side towards the database: results go in, rows and leases come out, outages are sat through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from afilsql.delivery import events
from afilsql.delivery.events import Event
from afilsql.delivery.leases import Leases
from afilsql.delivery.limits import Limits
from afilsql.delivery.policy import database_reason, one_line
from afilsql.delivery.pulse import Pulse
from afilsql.errors import DatabaseError, DatabaseUnavailable, SchemaOutOfDate
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import Account, Exchanged, OnUnknown, Result, ResultKind


@dataclass(slots=True)
class Totals:
    """What a worker has done: results the outbox took, by kind.

    Attributes:
        uncertain: Rows left to a person; one to be read back counts when that has settled it.
        held: Rows that went back because their account was put on hold.
        lost: Rows whose lease had passed to another when the result came.
        released: Rows given back without a call.
    """

    sent: int = 0
    failed: int = 0
    retried: int = 0
    uncertain: int = 0
    held: int = 0
    lost: int = 0
    released: int = 0


_TOTAL_OF: dict[ResultKind, str] = {
    "sent": "sent",
    "failed": "failed",
    "retry": "retried",
    "uncertain": "uncertain",
    "hold": "held",
    "release": "released",
}


class Handover:
    """Keeps finished results until the outbox has taken them, once each; before the first, says who the worker is.

    Args:
        outbox: Where they go.
        name: How the worker appears in the database.
        lease_seconds: How long a row stays this worker's without renewal.
        on_unknown: What becomes of sends whose lease ran out.
        limits: How much is taken of each account.
        accounts: Those the worker has, to be made known.
        on_event: Told what happens.
        monotonic: Seconds that never go back.
        pulse: Beaten before each exchange, of which there may be many for one batch of results.

    Attributes:
        finished: Results not handed in yet.
        leases: Of the rows in flight.
        totals: What the outbox took.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        name: str,
        lease_seconds: int,
        on_unknown: OnUnknown,
        limits: Limits,
        accounts: Sequence[Account] = (),
        on_event: Callable[[Event], None],
        monotonic: Callable[[], float],
        pulse: Pulse,
    ) -> None:
        self.finished: list[Result] = []
        self.leases = Leases(every=lease_seconds / 3)
        self.totals = Totals()
        self._outbox = outbox
        self._name = name
        self._lease_seconds = lease_seconds
        self._on_unknown = on_unknown
        self._limits = limits
        self._accounts = accounts
        self._on_event = on_event
        self._monotonic = monotonic
        self._pulse = pulse
        self._ever_exchanged = False
        self._outage_since: float | None = None

    def change(self, on_unknown: OnUnknown, accounts: Sequence[Account]) -> None:
        """Hand over otherwise from the next exchange on; the accounts are made known with it."""
        self._on_unknown, self._accounts = on_unknown, accounts

    @property
    def in_outage(self) -> bool:
        """True while the database does not take part."""
        return self._outage_since is not None

    def exchange(self, take: int, *, patient: bool = True) -> Exchanged | None:
        """Exchange with the outbox; None when the database did not take part. Results it did not take are kept.

        Args:
            take: Rows wanted.
            patient: Wait also for an end of refusals that are not outages, once an exchange has succeeded.

        Raises:
            DatabaseError: The database refuses for good, and no result depends on it.
        """
        try:
            answer = self._exchange(self.finished, take)
        except DatabaseUnavailable as error:
            self._note_outage(error)
            return None
        except Exception as error:
            if self.finished and not isinstance(error, SchemaOutOfDate):
                self._hand_in_singly()
            elif self.finished or (patient and self._ever_exchanged and isinstance(error, DatabaseError)):
                self._note_outage(error)
            else:
                raise
            return None
        if not self._ever_exchanged:
            self._ever_exchanged = True
            self._on_event(events.Ready())
        if self._outage_since is not None:
            self._on_event(events.DatabaseBack(self._monotonic() - self._outage_since))
            self._outage_since = None
        return answer

    def _exchange(self, results: Sequence[Result], take: int = 0) -> Exchanged:
        self._pulse.beat()
        if self._accounts:
            self._outbox.announce(self._accounts)
            self._accounts = ()
        began = self._monotonic()
        renew = self.leases.due(began)
        answer = self._outbox.exchange(
            self._name,
            results=tuple(results),
            take=take,
            renew=renew,
            lease_seconds=self._lease_seconds,
            on_unknown=self._on_unknown,
            room=self._limits.share,
            limits=self._limits.now(take),
        )
        self._limits.told()
        for account, seconds in answer.reopened:
            self._on_event(events.BreakerClosed(account, seconds))
        self.leases.renewed(renew, began)
        self._note_taken(results, set(answer.lost))
        return answer

    def _note_taken(self, results: Sequence[Result], lost: set[int]) -> None:
        taken = {(r.id, r.attempt) for r in results}
        for result in results:
            total = "lost" if result.id in lost else _TOTAL_OF[result.kind]
            if total == "uncertain" and result.look_in is not None:
                continue
            setattr(self.totals, total, getattr(self.totals, total) + 1)
            if result.id in lost:
                self._on_event(events.LeaseLost(result.id))
        self.finished = [r for r in self.finished if (r.id, r.attempt) not in taken]

    def _hand_in_singly(self) -> None:
        """The database refused a batch: find the result it cannot take, so that the others do not wait for it."""
        try:
            self._exchange(())
            for result in tuple(self.finished):
                self._hand_in_somehow(result)
        except Exception as error:  # noqa: BLE001 - the database as a whole refuses: no result is given up for that
            self._note_outage(error)

    def _hand_in_somehow(self, result: Result) -> None:
        """Hand in one result: whole, else without its answer, else not at all.

        Raises:
            DatabaseUnavailable: The result is kept.
        """
        try:
            self._exchange((result,))
            return
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this result
            why = one_line(f"{result.detail or ''} (the answer could not be stored: {database_reason(error)})")
        try:
            self._exchange((replace(result, detail=why, body=None),))
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            self.finished.remove(result)
            self._on_event(events.ResultRefused(result.id, database_reason(error)))

    def _note_outage(self, error: Exception) -> None:
        if self._outage_since is None:
            self._outage_since = self._monotonic()
            self._on_event(events.DatabaseLost(database_reason(error)))
