"""What one exchange does to the embedded database, step by step: the twin of sql/procedures/exchange*.sql."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from afilsql.api.methods import METHODS
from afilsql.outbox.records import OnUnknown, Result
from afilsql.outbox.sqlite_accounts import Accounts
from afilsql.outbox.sqlite_poll import Polls
from afilsql.outbox.sqlite_rows import cut, stored, time_of

_NOT_HELD = "NOT EXISTS (SELECT 1 FROM account a WHERE a.name = o.account AND a.held_at IS NOT NULL)"


class Exchange:
    """The steps of one exchange on an open write transaction."""

    def __init__(self, cursor: sqlite3.Cursor, worker: str, now: datetime) -> None:
        self._cursor = cursor
        self._worker = worker
        self._time = now
        self._now = stored(now)
        self.accounts = Accounts(cursor, worker, now)
        self.polls = Polls(cursor, now)
        self.reopened: list[tuple[str, float]] = []

    def heartbeat(self) -> None:
        self._cursor.execute(
            "INSERT OR REPLACE INTO worker (name, seen_at) VALUES (?, ?)",
            (self._worker, self._now),
        )

    def renew(self, leases: Sequence[UUID], until: datetime) -> None:
        self._cursor.executemany(
            "UPDATE outbox SET lease_until = ? WHERE status = 'sending' AND lease_id = ?",
            [(stored(until), lease.hex) for lease in leases],
        )

    def start_anew(self, until: datetime) -> None:
        """The clock was set, so times written before mean nothing: leases begin again, what waited is due."""
        self._cursor.execute("UPDATE outbox SET lease_until = ? WHERE status = 'sending'", (stored(until),))
        self._cursor.execute("UPDATE outbox SET due_at = ? WHERE status = 'scheduled' AND turn = 1", (self._now,))
        self._cursor.execute(
            "UPDATE outbox SET check_at = ? WHERE status = 'uncertain' AND check_at IS NOT NULL", (self._now,)
        )
        self._cursor.execute("UPDATE account SET probe_at = ? WHERE probe_at IS NOT NULL", (self._now,))
        self._cursor.execute(
            "UPDATE account SET rest_until = NULL, tokens_at = ?, poll_tokens_at = ?", (self._now, self._now)
        )
        self.polls.start_anew()

    def complete(self, results: Sequence[Result]) -> list[int]:
        """Write results back; return the ids whose lease had passed to another."""
        lost: dict[int, None] = {}
        freed: list[str] = []
        heard: list[tuple[Result, str]] = []
        for r in results:
            row = self._cursor.execute(
                "SELECT * FROM outbox WHERE id = ? AND (status = 'sending' OR check_at IS NOT NULL) "
                "AND lease_id = ? AND attempts = ?",
                (r.id, r.lease_id.hex, r.attempt),
            ).fetchone()
            if row is None:
                if r.kind not in ("release", "hold") and not self._recorded(r):
                    lost[r.id] = None
                continue
            if row["status"] == "uncertain":
                self._settle(r)
            else:
                self._complete_one(r)
            heard.append((r, row["account"]))
            if _is_over(r):
                freed.append(row["conversation"])
        self._step_forward(freed)
        self.reopened = self.accounts.hear(heard)
        return list(lost)

    def _recorded(self, r: Result) -> bool:
        """True when this worker handed in this try before."""
        key = (r.id, r.attempt, self._worker)
        found = self._cursor.execute("SELECT 1 FROM attempt WHERE id = ? AND attempt = ? AND worker = ?", key)
        return found.fetchone() is not None

    def _complete_one(self, r: Result) -> None:
        """Write back what became of a call."""
        if r.kind == "release":
            self._cursor.execute(
                "UPDATE outbox SET status = 'queued', attempts = attempts - 1, lease_id = NULL, lease_until = NULL "
                "WHERE id = ?",
                (r.id,),
            )
            return
        over = _is_over(r)
        status = {"retry": "scheduled", "hold": "queued"}.get(r.kind, r.kind)
        self._cursor.execute(
            "UPDATE outbox SET status = ?, attempts = attempts - ?, turn = ?, due_at = COALESCE(?, due_at), "
            "check_at = ?, unknown_since = CASE WHEN ? THEN COALESCE(unknown_since, taken_at) ELSE unknown_since END, "
            "completed_at = ?, error_code = ?, http_status = ?, lease_id = NULL, lease_until = NULL WHERE id = ?",
            (
                status,
                1 if r.kind == "hold" else 0,
                None if over else 1,
                self._later(r.retry_in) if r.kind == "retry" else None,
                None if r.look_in is None else self._later(r.look_in),
                r.unknown,
                self._now if over else None,
                cut(r.error_code, 100),
                r.http_status,
                r.id,
            ),
        )
        if r.kind != "hold":
            self._record(r.id, r.attempt, stored(r.started_at), r.duration_ms, r.http_status, r.error_code, r.detail)
        if r.body is not None:
            self._cursor.execute(
                "INSERT OR REPLACE INTO response (id, received_at, body) VALUES (?, ?, ?)", (r.id, self._now, r.body)
            )

    def _settle(self, r: Result) -> None:
        """Write back what reading the conversation of an uncertain row has shown."""
        if r.kind in ("release", "hold"):
            self._cursor.execute("UPDATE outbox SET check_at = ?, lease_id = NULL WHERE id = ?", (self._now, r.id))
            return
        over = _is_over(r)
        settled = r.kind != "uncertain"
        self._cursor.execute(
            "UPDATE outbox SET status = ?, turn = ?, due_at = COALESCE(?, due_at), check_at = ?, completed_at = ?, "
            "unknown_since = CASE WHEN ? THEN NULL ELSE unknown_since END, "
            "error_code = CASE WHEN ? THEN ? ELSE error_code END, "
            "http_status = CASE WHEN ? THEN ? ELSE http_status END, lease_id = NULL WHERE id = ?",
            (
                "scheduled" if r.kind == "retry" else r.kind,
                None if over else 1,
                self._later(r.retry_in) if r.kind == "retry" else None,
                None if r.look_in is None else self._later(r.look_in),
                self._now if over else None,
                settled,
                settled,
                cut(r.error_code, 100),
                settled,
                r.http_status,
                r.id,
            ),
        )
        if over:
            self._cursor.execute(
                "UPDATE attempt SET detail = SUBSTR(COALESCE(detail || '; ', '') || ?, 1, 400) "
                "WHERE id = ? AND attempt = ?",
                (r.detail or "", r.id, r.attempt),
            )
        if over or r.kind == "retry":
            self._cursor.execute(
                "INSERT INTO event_log (logged_at, event, detail) VALUES (?, 'read_back', ?)",
                (self._now, f"{r.id}: {r.kind}, {r.detail} ({self._worker})"[:1000]),
            )

    def _later(self, seconds: float) -> str:
        return stored(self._time + timedelta(seconds=seconds))

    def _record(
        self,
        id: int,
        attempt: int,
        started: str,
        duration_ms: int,
        http_status: int | None,
        error_code: str | None,
        detail: str | None,
    ) -> None:
        self._cursor.execute(
            "INSERT OR IGNORE INTO attempt "
            "(id, attempt, started_at, duration_ms, http_status, error_code, detail, worker) VALUES (?,?,?,?,?,?,?,?)",
            (
                id,
                attempt,
                started,
                duration_ms,
                http_status,
                cut(error_code, 100),
                cut(detail, 400),
                self._worker,
            ),
        )

    def sweep(self, on_unknown: OnUnknown) -> None:
        """Rows that time moves on: leases that ran out, scheduled rows that are due."""
        expired = self._cursor.execute(
            "SELECT id, method, attempts, max_attempts, conversation FROM outbox "
            "WHERE status = 'sending' AND lease_until < ? ORDER BY lease_until LIMIT 500",
            (self._now,),
        ).fetchall()
        freed: list[str] = []
        for row in expired:
            exhausted = row["attempts"] >= row["max_attempts"]
            spec = METHODS.get(row["method"])  # an unknown one was written by hand, and is never sent
            if spec is not None and spec.is_send:
                status = "uncertain" if exhausted or on_unknown != "retry" else "queued"
            else:
                status = "failed" if exhausted else "queued"
            detail = "the worker that held the row stopped answering"
            self._record(row["id"], row["attempts"], self._now, 0, None, "LEASE_EXPIRED", detail)
            looked_for = status == "uncertain" and on_unknown == "reconcile"
            open = status == "queued" or looked_for
            self._cursor.execute(
                "UPDATE outbox SET status = ?, error_code = 'LEASE_EXPIRED', lease_id = NULL, lease_until = NULL, "
                "unknown_since = COALESCE(unknown_since, taken_at), turn = ?, check_at = ?, completed_at = ? "
                "WHERE id = ?",
                (
                    status,
                    1 if open else None,
                    self._now if looked_for else None,
                    None if open else self._now,
                    row["id"],
                ),
            )
            if not open:
                freed.append(row["conversation"])
        self._step_forward(freed)
        self._cursor.execute(
            "UPDATE outbox SET status = 'queued', turn = COALESCE(turn, 0) WHERE id IN (SELECT id FROM outbox "
            "WHERE status = 'scheduled' AND due_at <= ? ORDER BY due_at LIMIT 500)",
            (self._now,),
        )

    def refuse(self, row: sqlite3.Row, reason: str) -> None:
        """Fail a row that cannot be read: written by hand, past every check."""
        self._record(row["id"], row["attempts"], self._now, 0, None, "MALFORMED_ROW", reason)
        self._cursor.execute(
            "UPDATE outbox SET status = 'failed', error_code = 'MALFORMED_ROW', lease_id = NULL, lease_until = NULL, "
            "turn = NULL, completed_at = ? WHERE id = ?",
            (self._now, row["id"]),
        )
        self._step_forward([row["conversation"]])

    def _step_forward(self, conversations: Sequence[str]) -> None:
        """The next row of each conversation goes back in line, where `take` finds it."""
        self._cursor.executemany(
            "UPDATE outbox SET turn = 0 WHERE id = (SELECT MIN(id) FROM outbox WHERE conversation = ? AND turn = 2)",
            [(c,) for c in dict.fromkeys(conversations)],
        )

    def outlook(self, *, paused: bool = False) -> tuple[bool, datetime | None]:
        """(something waits or is being sent, when something comes due); while all is paused, nothing waits."""
        # One EXISTS for each, since an OR within one would read the finished rows as well.
        live = ("queued'", "scheduled' AND o.turn = 1", "uncertain' AND o.check_at IS NOT NULL")
        wait = " OR ".join(
            f"EXISTS (SELECT 1 FROM outbox o WHERE o.status = '{which} AND {_NOT_HELD})" for which in live
        )
        waiting = self._cursor.execute(
            f"SELECT EXISTS (SELECT 1 FROM outbox WHERE status = 'sending') OR (NOT :paused AND ({wait})) AS waiting",
            {"paused": paused},
        ).fetchone()["waiting"]
        due = self._cursor.execute(
            "SELECT MIN(due_at) AS due FROM outbox WHERE status = 'scheduled' UNION ALL "
            "SELECT MIN(check_at) FROM outbox WHERE status = 'uncertain' AND check_at IS NOT NULL"
        ).fetchall()
        times = [d["due"] for d in due if d["due"]]
        times += self.accounts.next_due() + self.polls.next_due()
        try:
            return bool(waiting), time_of(min(times)) if times else None
        except (TypeError, ValueError):  # written by hand, and no time: it is never due
            return bool(waiting), None


def _is_over(r: Result) -> bool:
    """True when the row leaves the line of its conversation."""
    return r.kind in ("sent", "failed") or (r.kind == "uncertain" and r.look_in is None)
