"""The worker: exchange with the outbox, call the API, exchange again.

One thread, the one that calls `Worker.run`, makes the exchanges; sender threads make the calls, and
keep the lists these bring, so that a database slow to take one holds up nothing else. An exchange
hands in what has finished and takes as many rows as there are free senders, and as will be before the
next exchange is over (see `ahead`).
"""

from __future__ import annotations

import random as _random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from queue import Empty, SimpleQueue
from typing import Literal

from afilsql.delivery import events
from afilsql.delivery.ahead import LINGER, Ahead
from afilsql.delivery.bell import Bell, Ring
from afilsql.delivery.caller import Caller, ClientFor, ReadBackSettings
from afilsql.delivery.events import Event
from afilsql.delivery.handover import Handover, Totals
from afilsql.delivery.limits import Breaker, Limits, Rate
from afilsql.delivery.pace import OUTAGE_LAST, Pace
from afilsql.delivery.pulse import Pulse
from afilsql.delivery.senders import Deliver, Done, SenderPool
from afilsql.delivery.terms import Terms
from afilsql.delivery.tidying import Tidying
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import Account, Claim, Exchanged, OnUnknown, Result

__all__ = ["Totals", "Until", "Worker", "utcnow"]

Until = Literal["stopped", "drained", "once"]

#: Seconds until an account whose breaker opened is first tried; the outbox doubles it, up to 60.
TRIPPED = 5.0


def utcnow() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


class Worker:
    """Delivers the rows of one outbox. To be run once.

    Args:
        outbox: Where the rows are.
        client_for: Gives the API client of an account; raises ConfigError for one it does not know.
        name: How the worker appears in the database.
        concurrency: Calls at a time.
        lease_seconds: How long a row stays this worker's without renewal.
        grace_seconds: How long calls in flight may take to end once the worker is stopped.
        on_unknown: What a send does when nobody knows whether it went out.
        read_back: How that is found out with on_unknown "reconcile".
        share: Calls at a time that one account may have, so that a slow one leaves senders to the others; None is all.
        rates: Requests a second by account name.
        breaker: When an account is passed by because most calls fail.
        accounts: Those it has clients for, made known before anything is taken; from then on others are refused.
        clock: The time now (UTC).
        random: Returns numbers in [0, 1).
        on_event: Told what happens, in the thread that runs the worker.
        monotonic: Seconds that never go back.
        around: Makes of what delivers a claim what the senders call in its place.
        pulse: Beaten at each turn of the loop, and between the steps of one that take long.
        pace: How long it waits between exchanges.
    """

    def __init__(
        self,
        outbox: Outbox,
        client_for: ClientFor,
        *,
        name: str,
        concurrency: int = 32,
        lease_seconds: int = 120,
        grace_seconds: float = 30.0,
        on_unknown: OnUnknown = "reconcile",
        read_back: ReadBackSettings | None = None,
        share: int | None = None,
        rates: Mapping[str, Rate] | None = None,
        breaker: Breaker | None = None,
        accounts: Sequence[Account] = (),
        clock: Callable[[], datetime] = utcnow,
        random: Callable[[], float] = _random.random,
        on_event: Callable[[Event], None] = events.ignore,
        monotonic: Callable[[], float] = time.monotonic,
        around: Callable[[Deliver], Deliver] = lambda deliver: deliver,
        pulse: Pulse | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._grace_seconds = grace_seconds
        self._on_unknown = on_unknown
        self._clock = clock
        self._on_event = on_event
        self._monotonic = monotonic
        self._around = around
        self._pulse = pulse or Pulse(monotonic)
        self._pace = pace or Pace(random)
        self._caller = Caller(
            client_for,
            outbox.receive,
            on_unknown=on_unknown,
            read_back=read_back or ReadBackSettings(),
            clock=clock,
            monotonic=monotonic,
            random=random,
        )
        self._limits = Limits(share or 2 * concurrency, rates or {}, monotonic, breaker or Breaker())
        self._handover = Handover(
            outbox,
            name=name,
            lease_seconds=lease_seconds,
            on_unknown=on_unknown,
            limits=self._limits,
            accounts=accounts,
            on_event=on_event,
            monotonic=monotonic,
            pulse=self._pulse,
        )
        self._inbox: SimpleQueue[Done | Terms | Ring | None] = SimpleQueue()
        self._bell = Bell(outbox, lambda: self._inbox.put(Ring()))
        self._in_flight: set[tuple[int, int]] = set()
        self._stop_asked = False
        self._stopped_at = inf
        self._tidying = Tidying(outbox, monotonic)
        self._ahead = Ahead()

    def stop(self) -> None:
        """Take no more rows, finish those in flight, return from `run`. Safe in a signal handler; may be repeated."""
        self._stopped_at = min(self._stopped_at, self._monotonic())
        self._stop_asked = True
        self._inbox.put(None)

    def adopt(self, terms: Terms) -> None:
        """Work under other terms soon; calls in flight end as they began. Safe from any thread."""
        self._inbox.put(terms)

    def run(self, *, until: Until = "stopped") -> Totals:
        """Deliver until stopped; "drained" also ends when nothing waits anywhere, "once" after one exchange's rows.

        Raises:
            DatabaseError: The database refused the exchange and there is no reason to expect that to change: at the
                first one, or with nothing in flight and an end in sight. An unreachable database is waited for.
        """
        self._pool = SenderPool(
            self._concurrency,
            deliver=self._around(lambda claim, send_by: self._caller.deliver(claim, send_by)),
            may_begin=lambda: not self._stop_asked,
            monotonic=self._monotonic,
            inbox=self._inbox,
        )
        try:
            self._deliver(until)
            self._finish()
        finally:
            self._bell.close()
            self._pool.close(timeout=0.0 if self._in_flight else 1.0)
        return self.totals

    @property
    def totals(self) -> Totals:
        """What has been done so far."""
        return self._handover.totals

    @property
    def may_be_left(self) -> bool:
        """Whether it was stopped with the database away, and has nothing to hand in or no time left for it.

        A thread in which it runs need not be waited for then, which may hang for LOGIN_TIMEOUT: it takes no row.
        """
        return self._stop_asked and self._handover.in_outage and not (self._open() and self._left() > 0)

    def _deliver(self, until: Until) -> None:
        while not self._stop_asked:
            lost = self._handover.in_outage  # The exchange that ends an outage takes nothing: see may_be_left.
            answer = self._exchange(0 if lost else self._wanted(), patient=until == "stopped")
            if answer is None:
                self._sit_out()
            elif lost:
                continue
            elif until == "once" or (until == "drained" and not answer.waiting and not self._open()):
                return
            elif not self._stop_asked:
                self._tidying.do()
                self._bell.arm(idle=not self._in_flight)
                self._collect(self._pause(answer))

    def _wanted(self) -> int:
        ahead = self._ahead.rows(self._concurrency, self._on_unknown)
        return max(0, self._concurrency + ahead - len(self._in_flight))

    def _finish(self) -> None:
        """Let the calls in flight end and hand in their results, within the grace time once stopped."""
        if self._stop_asked:
            self._on_event(events.Stopping(len(self._in_flight)))
        while self._open():
            left = self._left()
            if not self._handover.finished and left > 0:
                self._collect(min(left, self._until_renewal()))
            if self._exchange(0) is None and left > 0:
                self._sit_out(left)
            if left <= 0:
                return

    def _left(self) -> float:
        """Return the seconds left of the grace time, which begins when it is stopped."""
        return self._stopped_at + self._grace_seconds - self._monotonic()

    def _open(self) -> bool:
        return bool(self._in_flight or self._handover.finished)

    def _exchange(self, take: int, *, patient: bool = True) -> Exchanged | None:
        began, results = self._monotonic(), len(self._handover.finished)
        answer = self._handover.exchange(take, patient=patient or bool(self._in_flight))
        if answer is not None:
            self._ahead.exchanged(results, self._monotonic() - began)
            self._pace.connected()
            self._begin(answer.claims, began)
        return answer

    def _begin(self, claims: Sequence[Claim], exchange_began: float) -> None:
        """Start the calls. The lease counts from before the exchange; two thirds of it leave time to renew."""
        if not claims:
            return
        self._pace.busy()
        self._on_event(events.Claimed(tuple(claim.id for claim in claims)))
        for claim in claims:
            self._in_flight.add((claim.id, claim.attempt))
            self._limits.begin(claim.account)
            self._handover.leases.add(claim.lease_id, exchange_began)
            self._pool.submit(claim, exchange_began + self._lease_seconds * 2 / 3)

    def _settle(self, done: Done) -> None:
        claim, result = done.claim, done.result
        self._in_flight.discard((claim.id, claim.attempt))
        self._handover.leases.remove(claim.lease_id)
        trip = self._limits.end(claim.account, None if result is None or claim.probe else result.healthy)
        if trip is not None:
            self._on_event(events.BreakerOpened(trip.account, trip.failures, trip.calls, TRIPPED))
        if done.lost:
            self._handover.totals.lost += 1
            self._on_event(events.LeaseLost(claim.id))
            return
        if result is None:
            if done.lapsed:
                self._on_event(events.LeaseLost(claim.id))
            # Fenced like any result: should the row be another worker's by now, nothing changes.
            self._handover.finished.append(
                Result(claim.id, claim.lease_id, claim.attempt, "release", self._clock(), detail="not called")
            )
            return
        self._handover.finished.append(result)
        self._on_event(events.ended(claim, result))
        if result.kind == "hold":
            self._on_event(events.AccountHeld(claim.account, result.error_code, result.detail))

    def _collect(self, timeout: float, *, early: bool = True) -> None:
        """Wait until calls end, `timeout` seconds at most, or until stopped.

        Args:
            early: Return once a few calls have ended, or a moment after the first.
        """
        self._pulse.beat()
        end, ended, first = self._monotonic() + timeout, 0, 0.0
        while True:
            if early and ended:
                enough, linger = self._ahead.patience(self._concurrency, len(self._in_flight))
                # Once enough have ended, what is there already is taken without waiting.
                end = 0.0 if ended >= enough or not self._in_flight else min(end, first + linger)
            try:
                done = self._inbox.get(timeout=max(0.0, end - self._monotonic()))
            except Empty:
                return None
            if done is None or (isinstance(done, Ring) and early and not self._in_flight):
                return None
            if isinstance(done, Ring):
                continue  # calls that end, or the end of the outage, bring the next exchange
            if isinstance(done, Terms):
                return self._use(done)
            self._settle(done)
            self._pace.busy()
            ended += 1
            first = first or self._monotonic()

    def _use(self, terms: Terms) -> None:
        self._pool.resize(terms.concurrency)
        self._concurrency, self._grace_seconds = terms.concurrency, terms.grace_seconds
        self._on_unknown = terms.on_unknown
        self._caller = self._caller.under(terms.client_for, terms.on_unknown, terms.read_back)
        self._limits.change(terms.share or 2 * terms.concurrency, terms.rates, terms.breaker)
        self._handover.change(terms.on_unknown, terms.accounts)

    def _sit_out(self, at_most: float = OUTAGE_LAST) -> None:
        """Wait before the database is tried again, however many calls end meanwhile."""
        if self._handover.in_outage:
            self._collect(min(at_most, self._pace.outage()), early=False)

    def _pause(self, answer: Exchanged) -> float:
        """Return the seconds until the next exchange if no call ends before."""
        pause = self._until_renewal()
        if len(self._in_flight) < self._concurrency:
            pause = min(pause, self._pace.idle())
            # A row already due yet not taken waits for its conversation: asking at once would only spin.
            if answer.next_due_in is not None and answer.next_due_in > 0:
                pause = min(pause, max(answer.next_due_in, LINGER))
        return pause

    def _until_renewal(self) -> float:
        due_in = self._handover.leases.next_due_in(self._monotonic())
        return self._pace.heartbeat if due_in is None else min(self._pace.heartbeat, due_in)
