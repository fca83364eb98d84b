"""An outbox in a list, with switches for what a real one does on a bad day."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from afilsql.api.methods import ListKind
from afilsql.outbox.records import Account, Claim, Exchanged, Heard, Limit, OnUnknown, Result

CHAT = {"platform": "whatsapp", "platformid": "1", "destination": "34600000000", "message": "hi"}


class FakeOutbox:
    """Rows wait in order, are leased once, and end with their first accepted result.

    Attributes:
        fail: Called before each exchange with its results; may raise.
        fail_after: Called after each exchange took effect; may raise, so that its answer is lost.
        refuse: Called before each list is kept, in the sender's thread; may raise, or say that the lease was lost.
        received: (id of the claim, kind, rows) of the lists kept.
        hear: Called to listen for new requests, in the bell's thread; this outbox cannot by itself.
    """

    def __init__(self, rows: int = 0, *, method: str = "sendmessage", account: str = "default") -> None:
        self.queue: list[Claim] = []
        self.leased: dict[int, Claim] = {}
        self.results: list[Result] = []
        self.lost_leases: set[int] = set()
        self.held: set[str] = set()
        self.renewed: list[UUID] = []
        self.exchanges: list[tuple[int, int]] = []
        self.most_leased = 0
        self.purges = 0
        self.known: list[Account] = []
        self.limits: list[Limit] = []
        self.fail: Callable[[Sequence[Result]], None] = lambda results: None
        self.fail_after: Callable[[Sequence[Result]], None] = lambda results: None
        self.refuse: Callable[[Claim], bool] = lambda claim: False
        self.received: list[tuple[int, str, list[dict[str, Any]]]] = []
        self.hear: Callable[[int, float], Heard | None] = lambda after, wait: None
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        for _ in range(rows):
            self.add(method=method, account=account)

    def add(
        self, *, method: str = "sendmessage", account: str = "default", attempt: int = 1, poll: bool = False
    ) -> int:
        with self._lock:
            id = next(self._ids)
            self.queue.append(Claim(id, uuid4(), account, method, CHAT, attempt, 8, uuid4(), poll=poll))
            return id

    def receive(self, claim: Claim, kind: ListKind, rows: Sequence[Mapping[str, Any]]) -> bool:
        if self.refuse(claim):
            return False
        with self._lock:
            self.received.append((claim.id, kind, [dict(row) for row in rows]))
        return True

    def announce(self, accounts: Sequence[Account]) -> None:
        self.fail(())
        assert not self.exchanges, "accounts are known before anything is taken"
        self.known += accounts

    def listen(self, after: int, wait: float) -> Heard | None:
        return self.hear(after, wait)

    def apply_retention(self) -> bool:
        self.purges += 1
        return False

    def exchange(
        self,
        worker: str,
        *,
        results: Sequence[Result] = (),
        take: int = 0,
        renew: Sequence[UUID] = (),
        lease_seconds: int = 120,
        on_unknown: OnUnknown = "hold",
        room: int | None = None,
        limits: Sequence[Limit] = (),
    ) -> Exchanged:
        self.fail(results)
        with self._lock:
            self.exchanges.append((len(results), take))
            self.renewed += renew
            self.on_unknown = on_unknown
            self.limits = list(limits)
            lost = [r.id for r in results if r.id in self.lost_leases]
            for result in results:
                claim = self.leased.pop(result.id, None)
                if claim is None or result.id in lost:
                    continue
                self.results.append(result)
                if result.kind in ("hold", "release"):
                    self.queue.append(claim)
                if result.kind == "hold":
                    self.held.add(claim.account)
            free = [c for c in self.queue if c.account not in self.held][:take]
            for claim in free:
                self.queue.remove(claim)
                self.leased[claim.id] = claim
            self.most_leased = max(self.most_leased, len(self.leased))
            waiting = bool(self.leased) or any(c.account not in self.held for c in self.queue)
        self.fail_after(results)
        return Exchanged(tuple(free), tuple(lost), waiting)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the worker has no business with Outbox.{name}")
