"""What an exchange knows of accounts in the embedded database: held, tripped, resting, and their rates.

The twin of sql/functions/account_room.sql, sql/procedures/exchange_accounts.sql and exchange_trip.sql.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from afilsql.outbox.records import Limit, Result
from afilsql.outbox.sqlite_rows import stored, time_of

#: Seconds until a breaker that has tripped n times in a row is tried.
_PAUSES = (5, 5, 10, 20, 40, 60)
#: How a rate that the API bore grows, a second; the share of what went through that is kept after "too many"; the
#: lowest rate, and the one from which on there is no limit, a second.
_GROWTH, _KEPT, _LOWEST, _UNLIMITED = 0.05, 0.7, 1.0, 1000.0


@dataclass(slots=True)
class Room:
    """How many rows of an account may be taken now, and the rate in force."""

    left: int
    closed: bool
    rate: float | None = None
    rate_found: float | None = None
    tokens: float | None = None
    taken: int = 0


class Accounts:
    """The accounts of one exchange, on its open write transaction."""

    def __init__(self, cursor: sqlite3.Cursor, worker: str, now: datetime) -> None:
        self._cursor = cursor
        self._worker = worker
        self._time = now
        self._now = stored(now)

    def rooms(self, names: Sequence[str], room: int, limits: Mapping[str, Limit]) -> dict[str, Room]:
        """Return the room of each account; an account without any is left out."""
        found = {}
        for name in names:
            row = self._cursor.execute("SELECT * FROM account WHERE name = ?", (name,)).fetchone()
            made = self._room(row, room, limits.get(name))
            if made.left > 0:
                found[name] = made
        return found

    def _room(self, row: sqlite3.Row | None, room: int, limit: Limit | None) -> Room:
        if limit is not None and limit.room is not None:
            room = limit.room
        closed = row is not None and bool(row["held_at"] or row["tripped_at"])
        if row is not None and closed:
            room = 1 if row["probe_at"] and row["probe_at"] <= self._now else 0
        elif row is not None and row["rest_until"] and row["rest_until"] > self._now:
            room = 0
        rate, burst = (limit.rate, limit.burst) if limit else (None, None)
        elapsed = 0.0
        if row is not None and row["tokens_at"]:
            elapsed = min(3600.0, max(0.0, (self._time - time_of(row["tokens_at"])).total_seconds()))
        grown = row["rate_found"] * (1 + _GROWTH * elapsed) if row is not None and row["rate_found"] else None
        found = grown if grown is not None and grown < (rate or _UNLIMITED) else None
        burst = burst if burst is not None else rate
        if found is not None and (burst is None or found < burst):
            burst = found
        rate = rate if found is None else found
        if rate is None or burst is None:
            return Room(room, closed)
        burst = max(1.0, burst)
        before = row["tokens"] if row is not None and row["tokens"] is not None else burst
        tokens = min(burst, before + rate * elapsed)
        return Room(min(room, math.floor(tokens)), closed, rate, found, tokens)

    def took(self, rooms: Mapping[str, Room], probes: Mapping[str, int], until: datetime) -> None:
        """Note what was taken: tokens used, and the row that tries a closed account."""
        for name, room in rooms.items():
            if room.closed and name in probes:
                self._cursor.execute(
                    "UPDATE account SET probe_at = ?, probe_id = ? WHERE name = ?", (stored(until), probes[name], name)
                )
            if room.rate is not None and room.tokens is not None:
                self._insert(name)
                self._cursor.execute(
                    "UPDATE account SET rate = ?, rate_found = ?, tokens = ?, tokens_at = ? WHERE name = ?",
                    (room.rate, room.rate_found, room.tokens - room.taken, self._now, name),
                )
            else:
                self._cursor.execute(
                    "UPDATE account SET rate = NULL, rate_found = NULL, tokens = NULL, tokens_at = NULL "
                    "WHERE name = ? AND rate IS NOT NULL",
                    (name,),
                )

    def hear(self, results: Sequence[tuple[Result, str]]) -> list[tuple[str, float]]:
        """Draw from results, each with its account, what they say of it; return those opened, and after how long."""
        reopened = []
        for r, account in results:
            row = self._cursor.execute("SELECT * FROM account WHERE name = ?", (account,)).fetchone()
            if r.kind == "hold" and not (row and row["held_at"]):
                self.hold(account, f"{r.error_code}: {r.detail}"[:400], probe=self._probe_seconds())
            elif r.http_status == 429 and r.kind != "hold":
                self._slow_down(account, row, max(1.0, r.retry_in))
            if row and row["probe_id"] == r.id:
                closed_since = row["held_at"] or row["tripped_at"]
                self._probed(row, r)
                if r.healthy and closed_since:
                    seconds = (self._time - time_of(closed_since)).total_seconds()
                    reopened.append((account, seconds))
                    self._log("account_open", f"{account}: a request went through after {seconds:.0f} s")
        return reopened

    def hold(self, account: str, reason: str, *, probe: int = 0) -> None:
        """Hold an account; with `probe` one request is tried every so many seconds."""
        self._insert(account)
        self._cursor.execute(
            "UPDATE account SET held_at = ?, held_reason = ?, tripped_at = NULL, probe_at = ?, probe_id = NULL "
            "WHERE name = ?",
            (self._now, reason, self._later(probe) if probe else None, account),
        )
        self._log("account_held", f"{account}: {reason}")

    def trip(self, account: str) -> None:
        """Open an account's breaker, unless it is closed already."""
        self._insert(account)
        self._cursor.execute(
            "UPDATE account SET tripped_at = ?, trips = 1, probe_at = ?, probe_id = NULL "
            "WHERE name = ? AND held_at IS NULL AND tripped_at IS NULL",
            (self._now, self._later(_PAUSES[0]), account),
        )
        if self._cursor.rowcount:
            self._log("breaker_open", f"{account}: most calls fail; one is tried now and then")

    def release(self, account: str) -> bool:
        """Open an account; return False when it was open."""
        self._cursor.execute(
            "UPDATE account SET held_at = NULL, held_reason = NULL, tripped_at = NULL, probe_at = NULL, "
            "probe_id = NULL, rest_until = NULL "
            "WHERE name = ? AND (held_at IS NOT NULL OR tripped_at IS NOT NULL)",
            (account,),
        )
        if not self._cursor.rowcount:
            return False
        self._log("account_released", account)
        return True

    def next_due(self) -> list[str]:
        """Return when accounts that rest, have no token left or are to be tried come due."""
        due = []
        for row in self._cursor.execute("SELECT * FROM account").fetchall():
            if row["held_at"] or row["tripped_at"]:
                due.append(row["probe_at"])
            elif row["rest_until"] and row["rest_until"] > self._now:
                due.append(row["rest_until"])
            elif row["rate"] and row["tokens"] is not None and row["tokens"] < 1:
                missing = timedelta(seconds=(1 - row["tokens"]) / row["rate"])
                due.append(stored(time_of(row["tokens_at"]) + missing))
        return [d for d in due if d and d > self._now]

    def _slow_down(self, account: str, row: sqlite3.Row | None, seconds: float) -> None:
        until = self._later(seconds)
        if row and row["rest_until"] and row["rest_until"] > self._now:
            # Calls that were under way when the first "too many" came say nothing new.
            self._cursor.execute(
                "UPDATE account SET rest_until = MAX(rest_until, ?) WHERE name = ?",
                (until, account),
            )
            return
        rate = row["rate"] if row and row["rate"] else self._lately(account)
        rate = max(_LOWEST, _KEPT * rate)
        self._insert(account)
        self._cursor.execute(
            "UPDATE account SET rest_until = ?, rate_found = ?, tokens = 1, tokens_at = ? WHERE name = ?",
            (until, rate, until, account),
        )
        self._log(
            "too_many_requests",
            f"{account}: rests {seconds:.1f} s, then at most {rate:.1f} requests a second, growing",
        )

    def _lately(self, account: str) -> float:
        """Return the requests a second that went through in the last ten."""
        since = stored(self._time - timedelta(seconds=10))
        found = self._cursor.execute(
            "SELECT COUNT(*) AS n FROM outbox WHERE status = 'sent' AND completed_at IS NOT NULL "
            "AND completed_at > ? AND account = ?",
            (since, account),
        )
        return float(found.fetchone()["n"]) / 10

    def _probed(self, row: sqlite3.Row, r: Result) -> None:
        """Open the account, or say when it is tried next."""
        if r.healthy:
            self._cursor.execute(
                "UPDATE account SET held_at = NULL, held_reason = NULL, tripped_at = NULL, trips = 0, probe_at = NULL, "
                "probe_id = NULL WHERE name = ?",
                (row["name"],),
            )
            return
        trips = row["trips"] or 0
        if r.healthy is None:
            probe_at: str | None = self._now
        elif row["held_at"]:
            pause = self._probe_seconds()
            probe_at = self._later(pause) if pause else None
        else:
            trips = min(trips + 1, len(_PAUSES) - 1)
            probe_at = self._later(_PAUSES[trips])
        self._cursor.execute(
            "UPDATE account SET probe_at = ?, probe_id = NULL, trips = ? WHERE name = ?", (probe_at, trips, row["name"])
        )

    def _probe_seconds(self) -> int:
        row = self._cursor.execute("SELECT value FROM setting WHERE name = 'probe_seconds'").fetchone()
        return int(row["value"]) if row else 300

    def _later(self, seconds: float) -> str:
        return stored(self._time + timedelta(seconds=seconds))

    def _insert(self, account: str) -> None:
        self._cursor.execute("INSERT OR IGNORE INTO account (name) VALUES (?)", (account,))

    def _log(self, event: str, detail: str) -> None:
        worker = f" ({self._worker})" if self._worker else ""
        self._cursor.execute(
            "INSERT INTO event_log (logged_at, event, detail) VALUES (?, ?, ?)",
            (self._now, event, (detail + worker)[:1000]),
        )
