"""One claim, one call: send it, keep the list it brings, or read its conversation back; the outcome is a Result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from afilsql.api.client import AfilnetClient
from afilsql.api.methods import METHODS, ListKind
from afilsql.api.reply import Reply
from afilsql.api.times import time_of
from afilsql.delivery import policy, reconcile
from afilsql.errors import ApiError, ConfigError, DatabaseUnavailable, NotSent, Refused
from afilsql.outbox.records import Check, Claim, OnUnknown, Result, ResultKind

ClientFor = Callable[[str], AfilnetClient]
#: Keeps the rows of a list, from any thread; False when the lease was lost. See Outbox.receive.
Receive = Callable[[Claim, ListKind, Sequence[Mapping[str, Any]]], bool]

#: An uncertain send whose conversation cannot be read is left to a person after this long.
READ_BACK_LIMIT = timedelta(hours=24)

_KINDS: dict[type[policy.Decision], ResultKind] = {
    policy.Sent: "sent",
    policy.Retry: "retry",
    policy.Failed: "failed",
    policy.Uncertain: "uncertain",
    policy.Release: "release",
    policy.HoldAccount: "hold",
}


@dataclass(frozen=True, slots=True)
class ReadBackSettings:
    """How lists are read, and uncertain sends by them.

    Attributes:
        after: Seconds after the try until the first look, and until the next one after a look that failed.
        settle: Seconds within which the API lists what it accepted; the last look comes then.
        zone: Time zone of the API's times that name none.
    """

    after: float = 15.0
    settle: float = 300.0
    zone: tzinfo = UTC


class Caller:
    """Makes the call of one claim. Safe to use from many threads.

    Args:
        client_for: Gives the client of an account; called for each claim, from any thread.
        receive: Keeps the list that a call brought.
        on_unknown: What a send does when nobody knows whether it went out.
        read_back: How it is found out.
        clock: The time now (UTC).
        monotonic: Seconds that never go back.
        random: Returns numbers in [0, 1).
    """

    def __init__(
        self,
        client_for: ClientFor,
        receive: Receive,
        *,
        on_unknown: OnUnknown,
        read_back: ReadBackSettings,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._client_for = client_for
        self._receive = receive
        self._on_unknown = on_unknown
        self._read_back = read_back
        self._clock = clock
        self._monotonic = monotonic
        self._random = random

    def under(self, client_for: ClientFor, on_unknown: OnUnknown, read_back: ReadBackSettings) -> Caller:
        """Return a caller that differs in these."""
        other = copy(self)
        other._client_for, other._on_unknown, other._read_back = client_for, on_unknown, read_back
        return other

    def deliver(self, claim: Claim, send_by: float) -> Result | None:
        """Call the API for this claim and say what became of it; None when the lease was lost. Raises nothing.

        Args:
            claim: What to call.
            send_by: Seconds of time.monotonic after which the request must not leave, for the lease may have run out.
        """
        started_at, began = self._clock(), self._monotonic()
        if claim.check is not None:
            outcome = self._call(claim, "getmessages", send_by)
            decision, detail = self._judge(claim, claim.check, outcome)
        else:
            outcome = self._call(claim, claim.method, send_by)
            decision, detail = self._decide(claim, outcome), policy.detail_of(outcome)
        duration_ms = max(0, round((self._monotonic() - began) * 1000))
        result = self._result(claim, outcome, decision, detail, started_at, duration_ms)
        return result if claim.check is not None else self._keep(claim, outcome, result)

    def _keep(self, claim: Claim, outcome: Reply | Exception, result: Result) -> Result | None:
        """Have the list kept that a call brought; return what then becomes of the row, None when the lease was lost."""
        kind = METHODS[claim.method].returns if claim.method in METHODS else None
        if kind is None or not isinstance(outcome, Reply):
            return result
        try:
            zone = self._read_back.zone
            rows = outcome.dicts()
            if kind != "channels":
                rows = [_placed(row, claim) | {"dated_at": time_of(row["datetime"], zone)} for row in rows]
            return result if self._receive(claim, kind, rows) else None
        except Exception as error:  # noqa: BLE001 - a trigger of others may raise anything
            decision = policy.after_refusal(claim.attempt, claim.max_attempts, self._random)
            unavailable = isinstance(error, DatabaseUnavailable)
            reason = policy.database_reason(error)
            return replace(
                result,
                kind=_KINDS[type(decision)],
                error_code="DATABASE_UNAVAILABLE" if unavailable else "ROWS_REFUSED",
                detail=policy.one_line(f"the database refused the rows of the answer: {reason}"),
                retry_in=decision.after if isinstance(decision, policy.Retry) else 0.0,
            )

    def _call(self, claim: Claim, method: str, send_by: float) -> Reply | Exception:
        parameters = dict(claim.parameters)
        if claim.check is not None:
            parameters = {p: parameters[p] for p in METHODS[method].required if p in parameters}
        try:
            return self._client(claim.account).call(method, parameters, send_by=send_by)
        except Exception as error:  # noqa: BLE001 - one bad row must never end a sender
            return error

    def _decide(self, claim: Claim, outcome: Reply | Exception) -> policy.Decision:
        return policy.decide(
            outcome,
            is_send=_is_send(claim),
            attempt=claim.attempt,
            max_attempts=claim.max_attempts,
            on_unknown=self._on_unknown,
            random=self._random,
            look_after=self._read_back.after,
            probe=claim.probe,
        )

    def _judge(self, claim: Claim, check: Check, outcome: Reply | Exception) -> tuple[policy.Decision, str | None]:
        """Decide on a row whose conversation was read; what cannot be read is read again, for a day at most."""
        if policy.holds_account(outcome):
            return policy.HoldAccount(), policy.detail_of(outcome)
        settle = timedelta(seconds=self._read_back.settle)
        look_in = reconcile.next_look(check, self._read_back.after, self._read_back.settle)
        if isinstance(outcome, Reply):
            verdict = reconcile.judge(check, claim.parameters, outcome.rows, zone=self._read_back.zone, settle=settle)
        elif isinstance(outcome, Refused):
            verdict = reconcile.Verdict("doubt", f"read back: the API refuses the list ({policy.code_of(outcome)})")
        else:
            over = check.now - check.taken_at > READ_BACK_LIMIT
            return policy.Uncertain(None if over else self._read_back.after), policy.detail_of(outcome)
        decision = policy.after_reading(
            verdict, attempt=claim.attempt, max_attempts=claim.max_attempts, look_in=look_in
        )
        return decision, verdict.why

    def _result(
        self,
        claim: Claim,
        outcome: Reply | Exception,
        decision: policy.Decision,
        detail: str | None,
        started_at: datetime,
        duration_ms: int,
    ) -> Result:
        called = claim.check is None
        code = policy.code_of(outcome)
        if not called and isinstance(decision, policy.Retry | policy.Failed):
            code = "NOT_ARRIVED"
        return Result(
            id=claim.id,
            lease_id=claim.lease_id,
            attempt=claim.attempt,
            kind=_KINDS[type(decision)],
            started_at=started_at,
            duration_ms=duration_ms,
            http_status=_http_status(outcome),
            error_code=code,
            detail=detail,
            body=_body(outcome) if called else None,
            retry_in=decision.after if isinstance(decision, policy.Retry) else policy.rest(outcome),
            look_in=decision.look_in if isinstance(decision, policy.Uncertain) else None,
            unknown=called and _is_send(claim) and policy.is_unknown(outcome),
            healthy=policy.is_healthy(outcome),
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


def _placed(row: dict[str, Any], claim: Claim) -> dict[str, Any]:
    """Return a row of an answer with what it leaves out of its place taken from the question."""
    return row | {p: row[p] or claim.parameters.get(p) for p in ("platform", "platformid", "destination")}


def _is_send(claim: Claim) -> bool:
    spec = METHODS.get(claim.method)
    return spec is None or spec.is_send


def _http_status(outcome: Reply | Exception) -> int | None:
    if isinstance(outcome, Reply):
        return outcome.http_status
    return outcome.status if isinstance(outcome, ApiError) else None


def _body(outcome: Reply | Exception) -> str | None:
    if isinstance(outcome, Reply):
        return outcome.text
    return (outcome.body or None) if isinstance(outcome, ApiError) else None
