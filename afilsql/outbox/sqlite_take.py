"""What one exchange takes from the embedded database: rows to be called, and rows to be read back.

The twin of sql/procedures/exchange_take.sql.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from afilsql.outbox.records import KNOWN_LIMIT, Limit
from afilsql.outbox.sqlite_accounts import Accounts, Room
from afilsql.outbox.sqlite_rows import stored, time_of


class Take:
    """The taking of rows in one exchange, on its open write transaction."""

    def __init__(self, cursor: sqlite3.Cursor, accounts: Accounts, now: datetime) -> None:
        self._cursor = cursor
        self._accounts = accounts
        self._now = stored(now)

    def take(
        self, count: int, lease: UUID, until: datetime, room: int | None, limits: Sequence[Limit]
    ) -> tuple[list[sqlite3.Row], list[sqlite3.Row]]:
        """Lease up to `count` rows: (those to be called, best priority first, those to be read back)."""
        rooms = self._accounts.rooms(
            self._waiting_accounts(), count if room is None else room, {x.account: x for x in limits}
        )
        probes: dict[str, int] = {}
        checks = self._take_checks((count + 1) // 2, rooms, probes)
        self._cursor.executemany(
            "UPDATE outbox SET lease_id = ?, check_at = ? WHERE id = ?",
            [(lease.hex, stored(until), row["id"]) for row in checks],
        )
        ready: list[tuple[int, int, int, str]] = []
        for name, left in rooms.items():
            wanted = min(left.left, count)
            self._line_up(name, wanted)
            found = self._cursor.execute(
                "SELECT id, priority FROM outbox WHERE status = 'queued' AND account = ? AND turn = 1 "
                "ORDER BY priority, id LIMIT ?",
                (name, wanted),
            ).fetchall()
            ready += [(row["priority"], place, row["id"], name) for place, row in enumerate(found)]
        # Of equal priority each account's first goes first, then each one's second.
        chosen = sorted(ready)[: count - len(checks)]
        for _, _, id, name in chosen:
            _use(rooms[name], probes, name, id)
        self._cursor.executemany(
            "UPDATE outbox SET status = 'sending', attempts = attempts + 1, lease_id = ?, lease_until = ?, "
            "taken_at = ? WHERE id = ?",
            [(lease.hex, stored(until), self._now, id) for _, _, id, _ in chosen],
        )
        self._accounts.took(rooms, probes, until)
        rows = "SELECT o.*, (SELECT COUNT(*) FROM account a WHERE a.probe_id = o.id) AS is_probe FROM outbox o"
        ids = [[id for _, _, id, _ in sorted(chosen, key=lambda c: (c[0], c[2]))], [row["id"] for row in checks]]
        called, looked_for = (
            [self._cursor.execute(f"{rows} WHERE o.id = ?", (id,)).fetchone() for id in part] for part in ids
        )
        return called, looked_for

    def _waiting_accounts(self) -> list[str]:
        """Return the accounts that have something to take: one look into the index each."""
        names, last = [], ""
        find = "SELECT MIN(account) AS name FROM outbox WHERE status = 'queued' AND account > ?"
        while (last := self._cursor.execute(find, (last,)).fetchone()["name"]) is not None:
            names.append(last)
        due = self._cursor.execute(
            "SELECT DISTINCT account FROM outbox WHERE status = 'uncertain' AND check_at IS NOT NULL AND check_at <= ?",
            (self._now,),
        )
        return list(dict.fromkeys([*names, *(row["account"] for row in due)]))

    def _take_checks(self, count: int, rooms: dict[str, Room], probes: dict[str, int]) -> list[sqlite3.Row]:
        """Choose rows to be read back: first of all, for a conversation waits for each."""
        due = self._cursor.execute(
            "SELECT id, account FROM outbox WHERE status = 'uncertain' AND check_at IS NOT NULL AND check_at <= ? "
            "ORDER BY check_at, id",
            (self._now,),
        ).fetchall()
        chosen: list[sqlite3.Row] = []
        for row in due:
            room = rooms.get(row["account"])
            if room is not None and room.left > 0 and len(chosen) < count:
                _use(room, probes, row["account"], row["id"])
                chosen.append(row)
        return chosen

    def known(self, row: sqlite3.Row) -> list[sqlite3.Row]:
        """Return what else the conversation of an uncertain row was sent since 27 hours before it."""
        since = stored(time_of(row["unknown_since"]) - timedelta(hours=27))
        return self._cursor.execute(
            "SELECT id, status = 'sent' AND unknown_since IS NULL AS is_certain, taken_at, "
            "SUBSTR(message, 1, 4000) AS message, fileurl FROM outbox "
            "WHERE conversation = ? AND id <> ? AND (turn IS NULL OR id < ?) AND taken_at >= ? "
            "AND method IN ('sendmessage', 'sendfile') AND (status IN ('sent', 'uncertain') "
            "OR unknown_since IS NOT NULL) ORDER BY id DESC LIMIT ?",
            (row["conversation"], row["id"], row["id"], since, KNOWN_LIMIT),
        ).fetchall()

    def _line_up(self, account: str, count: int) -> None:
        """Look at an account's new rows once: the first of a conversation gets turn 1, the rest turn 2."""
        for batch in (count, *[500] * 9):
            new = self._cursor.execute(
                "SELECT id, conversation FROM outbox WHERE status = 'queued' AND account = ? AND turn = 0 "
                "ORDER BY priority, id LIMIT ?",
                (account, batch),
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
                "SELECT COUNT(*) AS n FROM (SELECT 1 FROM outbox WHERE status = 'queued' AND account = ? "
                "AND turn = 1 LIMIT ?)",
                (account, count),
            ).fetchone()
            if ready["n"] >= count:
                return


def _use(room: Room, probes: dict[str, int], account: str, id: int) -> None:
    room.left -= 1
    room.taken += 1
    probes.setdefault(account, id)
