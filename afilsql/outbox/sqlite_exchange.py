"""What one exchange does to the embedded database, step by step: the twin of sql/procedures/exchange*.sql."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from afilsql.api.methods import METHODS
from afilsql.outbox.base import OnUnknown, Result
from afilsql.outbox.sqlite_rows import cut, save_rows, stored, time_of

_NOT_HELD = "NOT EXISTS (SELECT 1 FROM account a WHERE a.name = o.account AND a.held_at IS NOT NULL)"


class Exchange:
    """The steps of one exchange on an open write transaction."""

    def __init__(self, cursor: sqlite3.Cursor, worker: str, now: datetime) -> None:
        self._cursor = cursor
        self._worker = worker
        self._time = now
        self._now = stored(now)

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
        """The clock was set, so times written before mean nothing: leases begin again, retries are due."""
        self._cursor.execute("UPDATE outbox SET lease_until = ? WHERE status = 'sending'", (stored(until),))
        self._cursor.execute("UPDATE outbox SET due_at = ? WHERE status = 'scheduled' AND turn = 1", (self._now,))

    def complete(self, results: Sequence[Result]) -> list[int]:
        """Write results back; return the ids whose lease had passed to another."""
        lost: dict[int, None] = {}
        freed: list[str] = []
        for r in results:
            row = self._cursor.execute(
                "SELECT account, conversation FROM outbox "
                "WHERE id = ? AND status = 'sending' AND lease_id = ? AND attempts = ?",
                (r.id, r.lease_id.hex, r.attempt),
            ).fetchone()
            if row is None:
                if r.kind not in ("release", "hold") and not self._recorded(r):
                    lost[r.id] = None
                continue
            self._complete_one(r, row["account"])
            if r.kind in ("sent", "failed", "uncertain"):
                freed.append(row["conversation"])
        self._step_forward(freed)
        return list(lost)

    def _recorded(self, r: Result) -> bool:
        """True when this worker handed in this try before."""
        key = (r.id, r.attempt, self._worker)
        found = self._cursor.execute("SELECT 1 FROM attempt WHERE id = ? AND attempt = ? AND worker = ?", key)
        return found.fetchone() is not None

    def _complete_one(self, r: Result, account: str) -> None:
        if r.kind == "release":
            self._cursor.execute(
                "UPDATE outbox SET status = 'queued', attempts = attempts - 1, lease_id = NULL, lease_until = NULL "
                "WHERE id = ?",
                (r.id,),
            )
            return
        done = r.kind in ("sent", "failed", "uncertain")
        status = {"retry": "scheduled", "hold": "queued"}.get(r.kind, r.kind)
        due = stored(self._time + timedelta(seconds=r.retry_in)) if r.kind == "retry" else None
        self._cursor.execute(
            "UPDATE outbox SET status = ?, attempts = attempts - ?, turn = ?, due_at = COALESCE(?, due_at), "
            "completed_at = ?, error_code = ?, http_status = ?, lease_id = NULL, lease_until = NULL WHERE id = ?",
            (
                status,
                1 if r.kind == "hold" else 0,
                None if done else 1,
                due,
                self._now if done else None,
                cut(r.error_code, 100),
                r.http_status,
                r.id,
            ),
        )
        if r.kind == "hold":
            self.hold(account, f"{r.error_code}: {r.detail}"[:400])
        else:
            self._record(r.id, r.attempt, stored(r.started_at), r.duration_ms, r.http_status, r.error_code, r.detail)
        if r.body is not None:
            self._cursor.execute(
                "INSERT OR REPLACE INTO response (id, received_at, body) VALUES (?, ?, ?)", (r.id, self._now, r.body)
            )
        if r.kind_of_rows:
            save_rows(self._cursor, r, account, self._now)

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

    def hold(self, account: str, reason: str, *, again: bool = False) -> None:
        """Hold an account; one that is held keeps its reason unless `again`."""
        held = self._cursor.execute("SELECT held_at FROM account WHERE name = ?", (account,)).fetchone()
        if held and held["held_at"] and not again:
            return
        self._cursor.execute(
            "INSERT OR REPLACE INTO account (name, held_at, held_reason) VALUES (?, ?, ?)", (account, self._now, reason)
        )
        self.log("account_held", f"{account}: {reason}")

    def log(self, event: str, detail: str) -> None:
        self._cursor.execute(
            "INSERT INTO event_log (logged_at, event, detail) VALUES (?, ?, ?)", (self._now, event, detail[:1000])
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
            if METHODS[row["method"]].is_send:
                status = "uncertain" if exhausted or on_unknown == "hold" else "queued"
            else:
                status = "failed" if exhausted else "queued"
            detail = "the worker that held the row stopped answering"
            self._record(row["id"], row["attempts"], self._now, 0, None, "LEASE_EXPIRED", detail)
            queued = status == "queued"
            self._cursor.execute(
                "UPDATE outbox SET status = ?, error_code = 'LEASE_EXPIRED', lease_id = NULL, lease_until = NULL, "
                "turn = ?, completed_at = ? WHERE id = ?",
                (status, 1 if queued else None, None if queued else self._now, row["id"]),
            )
            if not queued:
                freed.append(row["conversation"])
        self._step_forward(freed)
        self._cursor.execute(
            "UPDATE outbox SET status = 'queued', turn = COALESCE(turn, 0) WHERE id IN (SELECT id FROM outbox "
            "WHERE status = 'scheduled' AND due_at <= ? ORDER BY due_at LIMIT 500)",
            (self._now,),
        )

    def _step_forward(self, conversations: Sequence[str]) -> None:
        """The next row of each conversation goes back in line, where `take` finds it."""
        self._cursor.executemany(
            "UPDATE outbox SET turn = 0 WHERE id = (SELECT MIN(id) FROM outbox WHERE conversation = ? AND turn = 2)",
            [(c,) for c in dict.fromkeys(conversations)],
        )

    def take(self, count: int, lease: UUID, until: datetime) -> list[sqlite3.Row]:
        """Lease up to `count` rows whose turn it is, best priority first."""
        self._line_up(count)
        ready = self._cursor.execute(
            f"SELECT o.id FROM outbox o WHERE o.status = 'queued' AND o.turn = 1 AND {_NOT_HELD} "
            "ORDER BY o.priority, o.id LIMIT ?",
            (count,),
        ).fetchall()
        self._cursor.executemany(
            "UPDATE outbox SET status = 'sending', attempts = attempts + 1, lease_id = ?, lease_until = ? WHERE id = ?",
            [(lease.hex, stored(until), row["id"]) for row in ready],
        )
        return [self._cursor.execute("SELECT * FROM outbox WHERE id = ?", (row["id"],)).fetchone() for row in ready]

    def _line_up(self, count: int) -> None:
        """Look at new rows once: the first of a conversation gets turn 1, the rest turn 2."""
        batch = min(500, max(4 * count, 64))
        for _ in range(10):
            new = self._cursor.execute(
                "SELECT id, conversation FROM outbox WHERE status = 'queued' AND turn = 0 "
                "ORDER BY priority, id LIMIT ?",
                (batch,),
            ).fetchall()
            if not new:
                return
            firsts = []
            for conversation in dict.fromkeys(row["conversation"] for row in new):
                line = "SELECT MIN(id) AS id FROM outbox WHERE conversation = ? AND turn = ?"
                if self._cursor.execute(line, (conversation, 1)).fetchone()["id"] is None:
                    heads = [self._cursor.execute(line, (conversation, t)).fetchone()["id"] for t in (0, 2)]
                    firsts.append((min(h for h in heads if h is not None),))
            self._cursor.executemany("UPDATE outbox SET turn = 2 WHERE id = ?", [(row["id"],) for row in new])
            self._cursor.executemany("UPDATE outbox SET turn = 1 WHERE id = ?", firsts)
            ready = self._cursor.execute(
                f"SELECT COUNT(*) AS n FROM (SELECT 1 FROM outbox o WHERE o.status = 'queued' AND o.turn = 1 "
                f"AND {_NOT_HELD} LIMIT ?)",
                (count,),
            ).fetchone()
            if ready["n"] >= count:
                return

    def outlook(self) -> tuple[bool, datetime | None]:
        """(something waits or is being sent, when the next scheduled row is due)."""
        waiting = self._cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM outbox WHERE status = 'sending') OR EXISTS (SELECT 1 FROM outbox o "
            f"WHERE (o.status = 'queued' OR (o.status = 'scheduled' AND o.turn = 1)) AND {_NOT_HELD}) AS waiting"
        ).fetchone()["waiting"]
        due = self._cursor.execute("SELECT MIN(due_at) AS due FROM outbox WHERE status = 'scheduled'").fetchone()["due"]
        return bool(waiting), time_of(due) if due else None
