"""The operators' page on SQL Server: reads views (afil_reader), calls operators' procedures (afil_operator)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from afilsql.outbox.browse import COUNTED, FEW, Depth, Filter, Found, Minute, Outcome, Overview, bounds, go_back
from afilsql.outbox.records import Item
from afilsql.outbox.sqlserver import SqlServerOutbox
from afilsql.outbox.sqlserver_rows import ITEM, item_of, json_of, subscription_of, utc

#: The views whose filtered indexes find the ids of a state; of sent ones there is no use in it.
INDEXED = {
    **{status: f"SELECT id FROM afil.unsent_items WHERE status = '{status}'" for status in ("queued", "scheduled")},
    "sending": "SELECT id FROM afil.unsent_items WHERE status = 'sending'",
    "failed": "SELECT id FROM afil.failed_items",
    "cancelled": "SELECT id FROM afil.all_items WHERE status = 'cancelled' AND completed_at IS NOT NULL",
    "uncertain": "SELECT id FROM afil.uncertain_items UNION ALL "
    "SELECT id FROM afil.unsent_items WHERE status = 'uncertain'",
}
DEPTHS = """
SELECT account, SUM(waiting), SUM(scheduled), SUM(sending), MAX(oldest_seconds) FROM afil.queue_status
GROUP BY account HAVING SUM(waiting) + SUM(scheduled) + SUM(sending) > 0 ORDER BY account
"""
CODES = """
SELECT f.code, COUNT(*) AS items FROM (
    SELECT TOP (?) COALESCE(error_code, N'') AS code FROM afil.failed_items WHERE completed_at > ?
    ORDER BY completed_at DESC
) AS f GROUP BY f.code ORDER BY 2 DESC, 1
"""
FINISHED = """
SELECT f.minute, SUM(f.sent), SUM(f.failed) FROM (
    SELECT DATEDIFF(MINUTE, '2000-01-01', completed_at) AS minute, 1 AS sent, 0 AS failed
    FROM afil.sent_items WHERE completed_at >= ?
    UNION ALL
    SELECT DATEDIFF(MINUTE, '2000-01-01', completed_at), 0, 1 FROM afil.failed_items WHERE completed_at >= ?
) AS f GROUP BY f.minute ORDER BY f.minute
"""
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class SqlServerBrowser(SqlServerOutbox):
    """Browser on SQL Server, Azure SQL Database or Babelfish."""

    def overview(self) -> Overview:
        with self._cursor() as cursor:
            depths = cursor.execute(DEPTHS).fetchall()
            now = cursor.execute("SELECT SYSUTCDATETIME()").fetchone()[0]
            count = f"SELECT COUNT(*) FROM (SELECT TOP ({COUNTED}) id FROM afil.uncertain_items) AS u"
            uncertain = cursor.execute(count).fetchone()[0]
            held = cursor.execute("SELECT name, held_reason FROM afil.held_accounts ORDER BY name").fetchall()
            workers = cursor.execute("SELECT name, seen_at FROM afil.workers ORDER BY seen_at DESC").fetchall()
            subscribed = cursor.execute("SELECT COUNT(*) FROM afil.subscriptions").fetchone()[0]
            failing = cursor.execute("SELECT * FROM afil.subscriptions WHERE failures > 0 ORDER BY id").fetchall()
            codes = cursor.execute(CODES, (COUNTED, now - timedelta(days=1))).fetchall()
            # The one place that tells a reader of a pause.
            aspects = cursor.execute("EXEC afil.help_status").fetchall()
        return Overview(
            paused=any(a.aspect == "pause" and not a.ok for a in aspects),
            depths=[Depth(d[0], d[1], d[2], d[3], None if d[4] is None else max(0.0, float(d[4]))) for d in depths],
            uncertain=uncertain,
            held=[(h[0], h[1] or "") for h in held],
            workers=[(w[0], (now - w[1]).total_seconds()) for w in workers],
            subscriptions=subscribed,
            failing=[subscription_of(row) for row in failing],
            codes=[(c[0], c[1]) for c in codes],
        )

    def finished_since(self, since: datetime) -> list[Minute]:
        start = since.astimezone(UTC).replace(tzinfo=None)
        with self._cursor() as cursor:
            found = cursor.execute(FINISHED, (start, start)).fetchall()
        return [Minute(_EPOCH + timedelta(minutes=row[0]), row[1], row[2]) for row in found]

    def find(self, which: Filter, *, before: int | None = None, limit: int = 50) -> Found:
        where, values = _conditions(which)
        with self._cursor() as cursor:
            low, high = cursor.execute("SELECT MIN(id), MAX(id) FROM afil.all_items").fetchone()
            if low is None:
                return Found([], None)
            end = high + 1 if before is None else min(before, high + 1)

            def row_from(id: int) -> tuple[int, datetime] | None:
                sql = "SELECT TOP (1) id, created_at FROM afil.all_items WHERE id >= ? ORDER BY id"
                row = cursor.execute(sql, (id,)).fetchone()
                return None if row is None else (row[0], utc(row[1]))

            first, end = bounds(which, low, end, row_from)
            ids = INDEXED.get(which.status or "")
            few = ids is not None and _count(cursor, ids) <= FEW
            source = f"AND id IN ({ids}) " if few else ""

            def fetch(start: int, stop: int, most: int) -> list[Item]:
                # RECOMPILE: what is the best plan differs by the filter and by how much of it there is.
                sql = (
                    f"SELECT TOP ({most}) {ITEM} FROM afil.all_items WHERE id >= ? AND id < ? {source}{where} "
                    "ORDER BY id DESC OPTION (RECOMPILE)"
                )
                return [item_of(row) for row in cursor.execute(sql, (start, stop, *values)).fetchall()]

            return go_back(fetch, first=first, end=end, limit=limit, at_once=few)

    def account_names(self) -> list[str]:
        sql = "SELECT name FROM afil.known_accounts UNION SELECT name FROM afil.held_accounts ORDER BY name"
        with self._cursor() as cursor:
            return [row[0] for row in cursor.execute(sql).fetchall()]

    def cancel(self, ids: Sequence[int]) -> int:
        return int(self._scalar("EXEC afil.cancel @ids = ?", json_of(list(ids))))

    def resolve(self, id: int, outcome: Outcome) -> str:
        return str(self._row("EXEC afil.resolve @id = ?, @outcome = ?", id, outcome).status)

    def pause(self, account: str | None, reason: str) -> None:
        with self._cursor() as cursor:
            cursor.execute("EXEC afil.pause @account = ?, @reason = ?", (account, reason))

    def resume(self) -> bool:
        return bool(self._scalar("EXEC afil.resume"))


def _count(cursor: Any, ids: str) -> int:
    """How many ids a query finds, one more than FEW at most."""
    return int(cursor.execute(f"SELECT COUNT(*) FROM (SELECT TOP ({FEW + 1}) id FROM ({ids}) AS i) AS c").fetchone()[0])


def _conditions(which: Filter) -> tuple[str, list[object]]:
    """What a row has to fulfil, as SQL that follows another condition, and its values."""
    parts: list[str] = []
    values: list[object] = []
    for column, value in (
        ("status", which.status),
        ("account", which.account),
        ("method", which.method),
        ("platform", which.platform),
        ("error_code", which.code),
    ):
        if value is not None:
            parts.append(f"{column} = ?")
            values.append(value)
    for operator, bound in ((">=", which.since), ("<", which.until)):
        if bound is not None:
            parts.append(f"created_at {operator} ?")
            values.append(bound.astimezone(UTC).replace(tzinfo=None))
    if which.text:
        columns = ["destination", "dedup_key", *(["message"] if which.messages else [])]
        # Not LIKE: Babelfish escapes no bracket.
        said = " OR ".join(f"CHARINDEX(?, {column}) > 0" for column in columns)
        parts.append(f"({said} OR id = ?)")
        values += [*(which.text for _ in columns), which.id]
    return "".join(f"AND {part} " for part in parts), values
