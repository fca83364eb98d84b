"""What subscriptions ask for in one exchange: the twin of sql/procedures/exchange_poll.sql.

A poll is a request like any other, but for its order: it holds up no send of its conversation, goes last, is tried
once, and is gone when it is finished.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from afilsql.outbox.base import conversation_key
from afilsql.outbox.sqlite_rows import stored, time_of

#: Polls that one exchange makes at most.
AT_ONCE = 100
#: Polls of an account that are under way at a time: triggers that take long leave senders free.
UNDER_WAY = 4
PRIORITY = 9
#: Seconds after which a chat that could not be read is asked for again, at least.
CHAT_AGAIN = 60
#: Seconds between two looks that a subscription which keeps failing waits at most, unless its own interval is longer.
LONGEST = 3600

_OPEN = (
    "NOT EXISTS (SELECT 1 FROM account a WHERE a.name = {}.account AND COALESCE(a.held_at, a.tripped_at) IS NOT NULL)"
)


@dataclass(slots=True)
class _Budget:
    """Requests that subscriptions may make for one account now: as many as it has tokens, and room."""

    tokens: float
    room: int
    used: bool = False


@dataclass(frozen=True, slots=True)
class _Choice:
    """What is to be asked, by the key of its conversation, and what accounts have left."""

    rows: dict[str, sqlite3.Row]
    budgets: dict[str, _Budget]


class Polls:
    """The polls of one exchange, on its open write transaction."""

    def __init__(self, cursor: sqlite3.Cursor, now: datetime) -> None:
        self._cursor = cursor
        self._time = now
        self._now = stored(now)

    def start_anew(self) -> None:
        """The clock was set: what was to come is due."""
        self._cursor.execute("UPDATE subscription SET due_at = ?", (self._now,))
        self._cursor.execute("UPDATE chat SET poll_at = ? WHERE poll_at IS NOT NULL", (self._now,))

    def settle(self) -> None:
        """Draw from finished polls what they say of their subscriptions, and delete them.

        One that was finished in this very exchange stays until the next: should its answer be lost, the worker hands
        in the result again, and it is known.
        """
        finished = self._cursor.execute(
            "SELECT o.id, o.status, o.error_code, o.platform, o.platformid, o.destination, s.id AS subscription, "
            "s.every_seconds, s.failures, s.account, s.destination = COALESCE(o.destination, '') AS is_own "
            "FROM outbox o LEFT JOIN subscription s ON s.id = o.subscription_id "
            "WHERE o.subscription_id IS NOT NULL AND o.completed_at IS NOT NULL AND o.completed_at <> ? "
            "ORDER BY o.completed_at, o.id",
            (self._now,),
        ).fetchall()
        failures: dict[int, int] = {}  # in a row, as counted here
        for poll in finished:
            id = poll["subscription"]
            if id is None:  # it was ended meanwhile
                continue
            failures.setdefault(id, poll["failures"])
            if poll["status"] == "sent":
                failures[id] = 0
                self._succeeded(poll)
            else:
                failures[id] += 1
                self._failed(poll, failures[id])
        for table in ("attempt", "response", "outbox"):
            self._cursor.executemany(f"DELETE FROM {table} WHERE id = ?", [(poll["id"],) for poll in finished])

    def _succeeded(self, poll: sqlite3.Row) -> None:
        self._cursor.execute(
            "UPDATE subscription SET failures = 0, error_code = NULL WHERE id = ?", (poll["subscription"],)
        )
        if poll["is_own"]:
            self._cursor.execute(
                "UPDATE subscription SET last_at = ?, first_at = COALESCE(first_at, ?) WHERE id = ?",
                (self._now, self._now, poll["subscription"]),
            )

    def _failed(self, poll: sqlite3.Row, failures: int) -> None:
        """Note a failure: what failed is asked for later and later."""
        self._cursor.execute(
            "UPDATE subscription SET failures = ?, error_code = ? WHERE id = ?",
            (failures, poll["error_code"], poll["subscription"]),
        )
        every = poll["every_seconds"]
        if poll["is_own"]:
            wait = min(every * 2 ** min(failures, 10), max(LONGEST, every))
            self._cursor.execute(
                "UPDATE subscription SET due_at = ? WHERE id = ?", (self._later(wait), poll["subscription"])
            )
        elif poll["error_code"] != "CHAT_NOT_FOUND":
            self._cursor.execute(
                "UPDATE chat SET poll_at = ? WHERE account = ? AND platform = ? AND platformid = ? "
                "AND destination = ? AND poll_at IS NULL",
                (
                    self._later(max(CHAT_AGAIN, every)),
                    *(poll[c] for c in ("account", "platform", "platformid", "destination")),
                ),
            )
        if failures == 1:
            place = (poll[c] for c in ("account", "platform", "platformid", "destination"))
            what = " ".join(part for part in place if part)
            self._cursor.execute(
                "INSERT INTO event_log (logged_at, event, detail) VALUES (?, 'poll_failed', ?)",
                (self._now, f"{what}: {poll['error_code']}"[:1000]),
            )

    def ask(self) -> None:
        """Make requests of what is due, within each account's budget."""
        choice = _Choice({}, {})
        for row in self._due_subscriptions():
            self._choose(choice, row)
        if self._any_due_chat():
            self._choose_chats(choice)
        for key, row in choice.rows.items():
            self._make(key, row)
        for name, budget in choice.budgets.items():
            if budget.used:
                self._cursor.execute("INSERT OR IGNORE INTO account (name) VALUES (?)", (name,))
                self._cursor.execute(
                    "UPDATE account SET poll_tokens = ?, poll_tokens_at = ? WHERE name = ?",
                    (budget.tokens, self._now, name),
                )

    def _due_subscriptions(self) -> list[sqlite3.Row]:
        return self._cursor.execute(
            "SELECT *, 0 AS is_chat FROM subscription WHERE due_at <= ? ORDER BY due_at, id", (self._now,)
        ).fetchall()

    def _any_due_chat(self) -> bool:
        found = self._cursor.execute("SELECT 1 FROM chat WHERE poll_at <= ? LIMIT 1", (self._now,))
        return found.fetchone() is not None

    def _choose_chats(self, choice: _Choice) -> None:
        """Choose among the chats of subscribed channels, those that wait longest first; many may wait."""
        channels = self._cursor.execute("SELECT DISTINCT account FROM subscription WHERE destination = ''").fetchall()
        accounts = {row["account"] for row in channels}
        with closing(self._cursor.connection.cursor()) as chats:
            chats.row_factory = sqlite3.Row
            # CROSS JOIN: the chats that wait come first, by their index.
            chats.execute(
                "SELECT s.id, c.account, c.platform, c.platformid, c.destination, s.unread_only, s.every_seconds, "
                "s.created_by, 1 AS is_chat FROM chat c CROSS JOIN subscription s ON s.account = c.account "
                "AND s.platform = c.platform AND s.platformid = c.platformid AND s.destination = '' "
                "WHERE c.poll_at <= ? AND c.destination <> '' ORDER BY c.poll_at",
                (self._now,),
            )
            for row in chats:
                if not self._choose(choice, row):
                    accounts.discard(row["account"])
                if not accounts or len(choice.rows) == AT_ONCE:
                    return

    def _choose(self, choice: _Choice, row: sqlite3.Row) -> bool:
        """Choose what is due, unless its last poll is not finished; return False when its account may ask no more."""
        account = row["account"]
        if account not in choice.budgets:
            choice.budgets[account] = self._budget(account)
        budget = choice.budgets[account]
        if budget.tokens < 1 or budget.room < 1:
            return False
        key = conversation_key(account, dict(row)) + "\x1finbound"
        if len(choice.rows) < AT_ONCE and key not in choice.rows and not self._is_under_way(key):
            choice.rows[key] = row
            budget.tokens -= 1
            budget.room -= 1
            budget.used = True
        return True

    def _budget(self, account: str) -> _Budget:
        """Return the requests that subscriptions may make for an account now; none for one that is closed."""
        setting = self._cursor.execute("SELECT value FROM setting WHERE name = 'inbound_per_minute'").fetchone()
        a_minute = float(setting["value"]) if setting else 60.0
        row = self._cursor.execute("SELECT * FROM account WHERE name = ?", (account,)).fetchone()
        if not a_minute or (row is not None and (row["held_at"] or row["tripped_at"])):
            return _Budget(0.0, 0)
        under_way = self._cursor.execute(
            "SELECT COUNT(*) AS n FROM outbox WHERE subscription_id IS NOT NULL AND completed_at IS NULL "
            "AND account = ?",
            (account,),
        ).fetchone()
        room = max(0, UNDER_WAY - int(under_way["n"]))
        burst = max(1.0, a_minute / 4)
        if row is None or row["poll_tokens"] is None or row["poll_tokens_at"] is None:
            return _Budget(burst, room)
        elapsed = max(0.0, (self._time - time_of(row["poll_tokens_at"])).total_seconds())
        return _Budget(min(burst, row["poll_tokens"] + elapsed * a_minute / 60), room)

    def _is_under_way(self, key: str) -> bool:
        """True until the last poll of this kind has gone: one that has just ended may put off the next."""
        found = self._cursor.execute("SELECT 1 FROM outbox WHERE conversation = ? LIMIT 1", (key,))
        return found.fetchone() is not None

    def _make(self, key: str, row: sqlite3.Row) -> None:
        """Write one poll; what asked for it is due again after its interval, a chat when it changes again."""
        destination = row["destination"] or None
        get = "getunreadmessages" if row["unread_only"] else "getmessages"
        self._cursor.execute(
            "INSERT INTO outbox (request_id, account, method, platform, platformid, destination, priority, status, "
            "turn, due_at, attempts, max_attempts, conversation, created_at, created_by, subscription_id) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', 0, ?, 0, 1, ?, ?, ?, ?)",
            (
                uuid4().hex,
                row["account"],
                "getchats" if destination is None else get,
                row["platform"],
                row["platformid"],
                destination,
                PRIORITY,
                self._now,
                key,
                self._now,
                row["created_by"],
                row["id"],
            ),
        )
        if row["is_chat"]:
            self._cursor.execute(
                "UPDATE chat SET poll_at = NULL WHERE account = ? AND platform = ? AND platformid = ? "
                "AND destination = ?",
                tuple(row[c] for c in ("account", "platform", "platformid", "destination")),
            )
        else:
            self._cursor.execute(
                "UPDATE subscription SET due_at = ? WHERE id = ?", (self._later(row["every_seconds"]), row["id"])
            )

    def next_due(self) -> list[str]:
        """Return when something comes due; what is due already waits for its account's budget, or for its last poll."""
        found = self._cursor.execute(
            f"SELECT MIN(s.due_at) AS due FROM subscription s WHERE s.due_at > ? AND {_OPEN.format('s')} UNION ALL "
            f"SELECT MIN(c.poll_at) FROM chat c WHERE c.poll_at > ? AND {_OPEN.format('c')}",
            (self._now, self._now),
        )
        return [row["due"] for row in found.fetchall() if row["due"]]

    def _later(self, seconds: float) -> str:
        return stored(self._time + timedelta(seconds=seconds))
