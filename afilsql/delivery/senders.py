"""The sender threads: each makes one call at a time and reports what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from queue import SimpleQueue
from typing import Any

from afilsql.api.client import AfilnetClient
from afilsql.api.methods import METHODS
from afilsql.api.reply import Reply
from afilsql.delivery import policy
from afilsql.errors import ApiError, ConfigError, NotSent
from afilsql.outbox.base import Claim, OnUnknown, Result, ResultKind

ClientFor = Callable[[str], AfilnetClient]

_KINDS: dict[type[policy.Decision], ResultKind] = {
    policy.Sent: "sent",
    policy.Retry: "retry",
    policy.Failed: "failed",
    policy.Uncertain: "uncertain",
    policy.HoldAccount: "hold",
}


@dataclass(frozen=True, slots=True)
class Done:
    """What a sender reports.

    Attributes:
        result: What became of the claim; None when its call was never begun.
        lapsed: The call was not begun because the lease may have run out.
    """

    claim: Claim
    result: Result | None
    lapsed: bool = False


class Caller:
    """Makes the call of one claim. Safe to use from many threads.

    Args:
        client_for: Gives the client of an account; called for each claim, from any thread.
        on_unknown: What a send does when nobody knows whether it went out.
        clock: The time now (UTC).
        monotonic: Seconds that never go back.
        random: Returns numbers in [0, 1).
    """

    def __init__(
        self,
        client_for: ClientFor,
        *,
        on_unknown: OnUnknown,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._client_for = client_for
        self._on_unknown = on_unknown
        self._clock = clock
        self._monotonic = monotonic
        self._random = random

    def deliver(self, claim: Claim) -> Result:
        """Call the API for this claim and say what became of it. Raises nothing."""
        spec = METHODS.get(claim.method)
        started_at, began = self._clock(), self._monotonic()
        rows: list[dict[str, Any]] = []
        outcome: Reply | Exception
        try:
            outcome = self._client(claim.account).call(claim.method, claim.parameters)
            if spec is not None and spec.returns:
                rows = outcome.dicts()
        except Exception as error:  # noqa: BLE001 - one bad row must never end a sender
            outcome = error
        duration_ms = round((self._monotonic() - began) * 1000)
        decision = policy.decide(
            outcome,
            is_send=spec is None or spec.is_send,
            attempt=claim.attempt,
            max_attempts=claim.max_attempts,
            on_unknown=self._on_unknown,
            random=self._random,
        )
        sent = isinstance(decision, policy.Sent)
        return Result(
            id=claim.id,
            lease_id=claim.lease_id,
            attempt=claim.attempt,
            kind=_KINDS[type(decision)],
            started_at=started_at,
            duration_ms=max(0, duration_ms),
            http_status=_http_status(outcome),
            error_code=policy.code_of(outcome),
            detail=policy.detail_of(outcome),
            body=_body(outcome),
            retry_in=decision.after if isinstance(decision, policy.Retry) else 0.0,
            rows=rows if sent else (),
            kind_of_rows=spec.returns if sent and spec is not None else None,
        )

    def _client(self, account: str) -> AfilnetClient:
        try:
            return self._client_for(account)
        except ConfigError:
            raise
        except Exception as error:
            raise NotSent(
                f"no client for the account '{account}': unexpected {type(error).__name__}", code="INTERNAL"
            ) from error


def _http_status(outcome: Reply | Exception) -> int | None:
    if isinstance(outcome, Reply):
        return outcome.http_status
    return outcome.status if isinstance(outcome, ApiError) else None


def _body(outcome: Reply | Exception) -> str | None:
    if isinstance(outcome, Reply):
        return outcome.text
    return (outcome.body or None) if isinstance(outcome, ApiError) else None


class SenderPool:
    """Threads that take claims and put what became of them into `inbox`.

    The threads are daemons so that a call which outlives the grace time cannot keep the process from ending.

    Args:
        size: Number of threads; the owner never submits more claims than are free.
        deliver: Makes the call; raises nothing.
        may_begin: False once no further call should start.
        monotonic: Seconds that never go back.
        inbox: Receives one Done per claim.
    """

    def __init__(
        self,
        size: int,
        *,
        deliver: Callable[[Claim], Result],
        may_begin: Callable[[], bool],
        monotonic: Callable[[], float],
        inbox: SimpleQueue[Done | None],
    ) -> None:
        self._deliver = deliver
        self._may_begin = may_begin
        self._monotonic = monotonic
        self._inbox = inbox
        self._jobs: SimpleQueue[tuple[Claim, float] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._send, name=f"sender-{n}", daemon=True) for n in range(size)]
        for thread in self._threads:
            thread.start()

    def submit(self, claim: Claim, begin_by: float) -> None:
        """Have a free sender call this claim, unless the monotonic time `begin_by` has passed when it gets there."""
        self._jobs.put((claim, begin_by))

    def close(self, timeout: float) -> None:
        """End the threads, waiting at most `timeout` seconds for those that still call."""
        for _ in self._threads:
            self._jobs.put(None)
        end = self._monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - self._monotonic()))

    def _send(self) -> None:
        while (job := self._jobs.get()) is not None:
            claim, begin_by = job
            if self._monotonic() > begin_by:
                self._inbox.put(Done(claim, None, lapsed=True))
            elif not self._may_begin():
                self._inbox.put(Done(claim, None))
            else:
                self._inbox.put(Done(claim, self._deliver(claim)))
