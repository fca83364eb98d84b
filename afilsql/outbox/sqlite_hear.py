"""Listening for new requests in the embedded database, without a statement while nobody writes to it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from afilsql.outbox.base import LISTEN_ROWS
from afilsql.outbox.records import Heard

#: Seconds between two looks at the file, and that one call listens at most: it costs nothing to be called again, and
#: whoever listens can end.
EVERY, AT_MOST = 0.05, 1.0

Look = tuple[int, int]


class Ear:
    """Sees that somebody wrote to a database by the size and time of its write-ahead log; used by one thread.

    Args:
        database: The file.
        cursor: Opens a cursor on it.
    """

    def __init__(self, database: str, cursor: Callable[[], AbstractContextManager[sqlite3.Cursor]]) -> None:
        self._cursor = cursor
        self._log = Path(f"{database}-wal")
        self._heard: tuple[Look | None, int] = (None, 0)  # the log and the highest id when last asked

    def look(self) -> Look | None:
        """Return the log's size and time; None while nobody has the database open."""
        try:
            found = self._log.stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns

    def pass_over(self, before: Look) -> None:
        """Take what the log is now for heard, if it was when it was as `before`: nothing worth hearing was written.

        From any thread. What another process commits at the same moment may go unheard.
        """
        log, latest = self._heard
        if log == before:
            self._heard = self.look(), latest

    def listen(self, after: int, wait: float) -> Heard:
        """See Outbox.listen; it may return earlier than after `wait` seconds."""
        end = time.monotonic() + min(wait, AT_MOST)
        while True:
            log = self.look()
            if log is not None and (log, after) != self._heard:
                with self._cursor() as cursor:
                    heard = _hear(cursor, after)
                after = heard.latest
                self._heard = log, after
                if heard.new:
                    return heard
            left = end - time.monotonic()
            if left <= 0:
                return Heard(after, new=False)
            time.sleep(min(EVERY, left))


def _hear(cursor: sqlite3.Cursor, after: int) -> Heard:
    """Look for queued requests above an id: the twin of sql/procedures/await_request.sql."""
    latest = cursor.execute("SELECT COALESCE(MAX(id), 0) AS latest FROM outbox").fetchone()["latest"]
    if latest <= after:
        return Heard(after, new=False)
    queued = "SELECT EXISTS (SELECT 1 FROM outbox NOT INDEXED WHERE id > ? AND status = 'queued') AS new"
    found = cursor.execute(queued, (max(after, latest - LISTEN_ROWS),)).fetchone()
    return Heard(latest, bool(found["new"]))
