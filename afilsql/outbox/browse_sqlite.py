"""The operators' page on the embedded database."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from afilsql.outbox.browse import COUNTED, FEW, Depth, Filter, Found, Minute, Outcome, Overview, bounds, go_back
from afilsql.outbox.records import Item
from afilsql.outbox.sqlite import SqliteOutbox
from afilsql.outbox.sqlite_enqueue import user_name
from afilsql.outbox.sqlite_operate import cancel, is_paused, pause, resolve, resume
from afilsql.outbox.sqlite_rows import item_of, queue_held, queue_workers, stored, time_of
from afilsql.outbox.sqlite_subscription import subscriptions

#: Where the ids of each state are found without a look at the rows of the others; of sent ones there is no use in it.
INDEXED = {
    **{status: f"SELECT id FROM outbox WHERE status = '{status}'" for status in ("queued", "scheduled", "sending")},
    **{
        status: f"SELECT id FROM outbox WHERE status = '{status}' AND completed_at IS NOT NULL"
        for status in ("failed", "cancelled")
    },
    "uncertain": "SELECT id FROM outbox WHERE status = 'uncertain' AND completed_at IS NOT NULL UNION ALL "
    "SELECT id FROM outbox WHERE status = 'uncertain' AND check_at IS NOT NULL",
}
DEPTHS = """
SELECT account, SUM(waiting) AS waiting, SUM(scheduled) AS scheduled, SUM(sending) AS sending, MIN(due) AS due FROM (
    SELECT account, COUNT(*) AS waiting, 0 AS scheduled, 0 AS sending, MIN(due_at) AS due
    FROM outbox WHERE status = 'queued' GROUP BY account
    UNION ALL SELECT account, 0, COUNT(*), 0, NULL FROM outbox WHERE status = 'scheduled' GROUP BY account
    UNION ALL SELECT account, 0, 0, COUNT(*), MIN(due_at) FROM outbox WHERE status = 'sending' GROUP BY account
) GROUP BY account ORDER BY account
"""
CODES = """
SELECT COALESCE(error_code, '') AS code, COUNT(*) AS n FROM (
    SELECT error_code FROM outbox
    WHERE status = 'failed' AND completed_at IS NOT NULL AND completed_at > ? ORDER BY completed_at DESC LIMIT ?
) GROUP BY 1 ORDER BY 2 DESC, 1
"""
FINISHED = """
SELECT SUBSTR(completed_at, 1, 16) AS minute, SUM(status = 'sent') AS sent, SUM(status = 'failed') AS failed
FROM outbox INDEXED BY ix_outbox_finished
WHERE status IN ('sent', 'failed') AND completed_at IS NOT NULL AND completed_at >= ? GROUP BY 1 ORDER BY 1
"""


class SqliteBrowser(SqliteOutbox):
    """Browser on a SQLite file."""

    def overview(self) -> Overview:
        with self._cursor() as cursor:
            now = self._clock()
            depths = cursor.execute(DEPTHS).fetchall()
            uncertain = cursor.execute(
                "SELECT COUNT(*) AS n FROM (SELECT 1 FROM outbox WHERE status = 'uncertain' "
                "AND completed_at IS NOT NULL LIMIT ?)",
                (COUNTED,),
            ).fetchone()["n"]
            codes = cursor.execute(CODES, (stored(now - timedelta(days=1)), COUNTED)).fetchall()
            subscribed = subscriptions(cursor)
            return Overview(
                paused=is_paused(cursor),
                depths=[_depth(row, now) for row in depths],
                uncertain=uncertain,
                held=queue_held(cursor),
                workers=queue_workers(cursor, now),
                subscriptions=len(subscribed),
                failing=[s for s in subscribed if s.failures],
                codes=[(row["code"], row["n"]) for row in codes],
            )

    def finished_since(self, since: datetime) -> list[Minute]:
        with self._cursor() as cursor:
            found = cursor.execute(FINISHED, (stored(since),)).fetchall()
        return [Minute(time_of(row["minute"]), row["sent"], row["failed"]) for row in found]

    def find(self, which: Filter, *, before: int | None = None, limit: int = 50) -> Found:
        where, values = _conditions(which)
        with self._cursor() as cursor:
            row = cursor.execute(
                "SELECT (SELECT MIN(id) FROM outbox) AS a, (SELECT MAX(id) FROM outbox) AS z"
            ).fetchone()
            if row["a"] is None:
                return Found([], None)
            end = row["z"] + 1 if before is None else min(before, row["z"] + 1)

            def row_from(id: int) -> tuple[int, datetime] | None:
                found = cursor.execute("SELECT id, created_at FROM outbox WHERE id >= ? ORDER BY id LIMIT 1", (id,))
                one = found.fetchone()
                return None if one is None else (one["id"], time_of(one["created_at"]))

            first, end = bounds(which, row["a"], end, row_from)
            ids = INDEXED.get(which.status or "")
            few = ids is not None and _count(cursor, ids) <= FEW
            # The plus keeps SQLite from walking down the ids where the index of the state finds them.
            place = f"o.id IN ({ids}) AND +o.id >= ? AND +o.id < ?" if few else "o.id >= ? AND o.id < ?"
            sql = f"SELECT o.* FROM outbox o WHERE {place}{where} ORDER BY o.id DESC LIMIT ?"

            def fetch(start: int, stop: int, most: int) -> list[Item]:
                return [item_of(found) for found in cursor.execute(sql, (start, stop, *values, most))]

            return go_back(fetch, first=first, end=end, limit=limit, at_once=few)

    def account_names(self) -> list[str]:
        with self._cursor() as cursor:
            return [row["name"] for row in cursor.execute("SELECT name FROM account ORDER BY name")]

    def cancel(self, ids: Sequence[int]) -> int:
        with self._write() as cursor:
            return cancel(cursor, ids, now=self._clock())

    def resolve(self, id: int, outcome: Outcome) -> str:
        with self._write() as cursor:
            return resolve(cursor, id, outcome, user=user_name(), now=self._clock())

    def pause(self, account: str | None, reason: str) -> None:
        with self._write() as cursor:
            pause(cursor, account, reason, user=user_name(), now=self._clock())

    def resume(self) -> bool:
        with self._write() as cursor:
            return resume(cursor, user=user_name(), now=self._clock())


def _depth(row: sqlite3.Row, now: datetime) -> Depth:
    oldest = None if row["due"] is None else max(0.0, (now - time_of(row["due"])).total_seconds())
    return Depth(row["account"], row["waiting"], row["scheduled"], row["sending"], oldest)


def _count(cursor: sqlite3.Cursor, ids: str) -> int:
    """How many ids a query finds, one more than FEW at most."""
    return int(cursor.execute(f"SELECT COUNT(*) AS n FROM ({ids} LIMIT ?)", (FEW + 1,)).fetchone()["n"])


def _conditions(which: Filter) -> tuple[str, list[object]]:
    """What a row has to fulfil, as SQL that follows another condition, and its values."""
    parts: list[str] = []
    values: list[object] = []
    for column in ("status", "account", "method", "platform"):
        if (value := getattr(which, column)) is not None:
            parts.append(f"+o.{column} = ?")
            values.append(value)
    if which.code is not None:
        parts.append("o.error_code = ?")
        values.append(which.code)
    for operator, bound in ((">=", which.since), ("<", which.until)):
        if bound is not None:
            parts.append(f"o.created_at {operator} ?")
            values.append(stored(bound))
    if which.text:
        columns = ["destination", "dedup_key", *(["message"] if which.messages else [])]
        pattern = "%" + which.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        said = " OR ".join(f"o.{column} LIKE ? ESCAPE '\\'" for column in columns)
        parts.append(f"({said} OR o.id = ?)")
        values += [*(pattern for _ in columns), which.id]
    return "".join(f" AND {part}" for part in parts), values
