"""What a person is told of, and when. Pure: events and the time go in, alerts come out; `alerter` sends them.

An alert carries no message, no destination and no credentials. To add an event is a line in `_TABLE`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from afilsql import plain
from afilsql.delivery import events
from afilsql.delivery.events import Event

#: Seconds in which at most one alert goes out of each kind and account.
QUIET = 300.0
#: Seconds the database must be away to be worth an alert.
LOST_AFTER = 60.0
#: Kinds and accounts told apart; what comes beyond is told of together, as account OTHERS.
MOST_KEYS = 100
OTHERS = "(others)"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a person should know of.

    Attributes:
        kind: account_held, result_refused, uncertain, database_lost, database_back, breaker_opened or breaker_closed.
        text: What happened and what to do, in one line.
        account: The account it concerns, None when it concerns all.
        values: Details for programs.
        at: When it happened (UTC), None while nobody has said.
        left_out: Alerts of this kind and account not sent since the one before.
    """

    kind: str
    text: str
    account: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    at: datetime | None = None
    left_out: int = 0


def alert_for(event: Event) -> Alert | None:
    """Return what a person should know of an event, None for nothing. DatabaseLost is Watch's, as it takes time."""
    make = _TABLE.get(type(event))
    return make(event) if make else None


def _name(account: str) -> str:
    """Return an account's name without what a chat or a shell would read as a command; anybody may invent names."""
    return re.sub(r"[^\w.+@ -]", "?", account)[:100]


def _code(code: str | None) -> str | None:
    return None if code is None else plain.code(code)


def _held(e: events.AccountHeld) -> Alert:
    text = f"The account {_name(e.account)} is held, its requests wait: correct its user and password, then release it."
    return Alert("account_held", text, _name(e.account), {"code": _code(e.code)})


def _refused(e: events.ResultRefused) -> Alert:
    text = f"The database refused the result of request {e.id} for good: see the worker's log."
    return Alert("result_refused", text, None, {"id": e.id})


def _delivered(e: events.Delivered) -> Alert | None:
    if e.kind != "uncertain" or e.look_in is not None:
        return None
    return _uncertain(e.id, e.account, _code(e.code))


def _read_back(e: events.ReadBack) -> Alert | None:
    return _uncertain(e.id, e.account, None) if e.kind == "uncertain" and e.final else None


def _uncertain(id: int, account: str, code: str | None) -> Alert:
    text = f"Nobody knows whether request {id} went out: look, then decide with afil.resolve."
    return Alert("uncertain", text, _name(account), {"id": id, "code": code})


def _opened(e: events.BreakerOpened) -> Alert:
    text = f"{e.failures} of {e.calls} calls of the account {_name(e.account)} failed; it rests {e.rest_seconds:.0f} s."
    values = {"failures": e.failures, "calls": e.calls, "rest_seconds": e.rest_seconds}
    return Alert("breaker_opened", text, _name(e.account), values)


def _closed(e: events.BreakerClosed) -> Alert:
    text = f"Calls of the account {_name(e.account)} succeed again after {e.after_seconds:.0f} s."
    return Alert("breaker_closed", text, _name(e.account), {"after_seconds": e.after_seconds})


def _back(e: events.DatabaseBack) -> Alert:
    text = f"The database answers again after {e.after_seconds:.0f} s."
    return Alert("database_back", text, None, {"after_seconds": e.after_seconds})


_LOST = Alert(
    "database_lost",
    f"The database has not answered for {LOST_AFTER:.0f} s; the worker goes on trying: see its log.",
    None,
    {"after_seconds": LOST_AFTER},
)

_TABLE: dict[type[Event], Callable[[Any], Alert | None]] = {
    events.AccountHeld: _held,
    events.ResultRefused: _refused,
    events.Delivered: _delivered,
    events.ReadBack: _read_back,
    events.DatabaseBack: _back,
    events.BreakerOpened: _opened,
    events.BreakerClosed: _closed,
}


@dataclass(slots=True)
class _Key:
    """One kind and account: when it may speak again, and what it has kept back till then."""

    quiet_until: float
    kept: Alert | None = None
    left_out: int = 0


class Watch:
    """Turns events into the alerts to send: no more than one in QUIET seconds of each kind and account.

    What is left out is counted in the next; when the quiet ends, the last one left out goes out, so that the
    last word on a kind and account is always said. Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str | None], _Key] = {}
        self._lost_due: tuple[float, datetime] | None = None
        self._lost_told = False

    def see(self, event: Event, now: float, at: datetime) -> list[Alert]:
        """Return the alerts to send for an event that happened now, at this UTC time."""
        if isinstance(event, events.DatabaseLost):
            self._lost_due = (now + LOST_AFTER, at)
            return []
        alert = alert_for(event)
        if isinstance(event, events.DatabaseBack):
            told, self._lost_told, self._lost_due = self._lost_told, False, None
            if not told and event.after_seconds < LOST_AFTER:
                alert = None
        return [] if alert is None else self._admit(replace(alert, at=at), now)

    def due(self, now: float) -> list[Alert]:
        """Return the alerts that time has brought."""
        found: list[Alert] = []
        if self._lost_due is not None and now >= self._lost_due[0]:
            _, at = self._lost_due
            self._lost_due, self._lost_told = None, True
            found += self._admit(replace(_LOST, at=at), now)
        for name, key in tuple(self._keys.items()):
            if now < key.quiet_until:
                continue
            if key.kept is None:
                del self._keys[name]
            else:
                found.append(replace(key.kept, left_out=key.left_out - 1))
                self._keys[name] = _Key(now + QUIET)
        return found

    def next_due(self) -> float | None:
        """Return when `due` has something to do next, None for never."""
        times = [key.quiet_until for key in self._keys.values()]
        if self._lost_due is not None:
            times.append(self._lost_due[0])
        return min(times, default=None)

    def _admit(self, alert: Alert, now: float) -> list[Alert]:
        name = (alert.kind, alert.account)
        if name not in self._keys and alert.account is not None and len(self._keys) >= MOST_KEYS:
            name = (alert.kind, OTHERS)
        key = self._keys.get(name)
        if key is None:
            self._keys[name] = _Key(now + QUIET)
            return [alert]
        if now >= key.quiet_until:
            self._keys[name] = _Key(now + QUIET)
            return [replace(alert, left_out=key.left_out)]
        key.kept = alert
        key.left_out += 1
        return []
