"""Which listed message is which send: the twin of sql/procedures/recognize.sql. Doubt is never a guess.

A send and a message match when the text is the same and the message is dated around the send. They are a pair when
neither matches anything else. A pair that another message comes to match as well is given up.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta

from afilsql.outbox.base import conversation_key
from afilsql.outbox.records import KNOWN_LIMIT
from afilsql.outbox.sqlite_rows import stored, time_of

#: How far the API's clock and the database's may differ.
TOLERANCE = timedelta(seconds=120)


def recognize(cursor: sqlite3.Cursor, account: str, parameters: Mapping[str, str]) -> None:
    """Give the conversation's latest sends the `messageid` and `delivery_status` of their messages."""
    key = conversation_key(account, parameters)
    sends = cursor.execute(
        "SELECT id, COALESCE(NULLIF(message, ''), fileurl) AS text, taken_at, completed_at, messageid FROM outbox "
        "WHERE conversation = ? AND turn IS NULL AND method IN ('sendmessage', 'sendfile') AND status = 'sent' "
        "AND completed_at IS NOT NULL AND taken_at IS NOT NULL ORDER BY id DESC LIMIT ?",
        (key, KNOWN_LIMIT),
    ).fetchall()
    if not sends:
        return
    chat = (account, *(parameters.get(p, "") for p in ("platform", "platformid", "destination")))
    around = (_moved(min(s["taken_at"] for s in sends), -1), _moved(max(s["completed_at"] for s in sends), 1))
    messages = cursor.execute(
        "SELECT m.messageid, m.message, m.dated_at, "
        "(SELECT MIN(o.id) FROM outbox o WHERE o.conversation = ? AND o.messageid = m.messageid) AS taken_by "
        "FROM chat_message m WHERE m.account = ? AND m.platform = ? AND m.platformid = ? AND m.destination = ? "
        "AND m.sent = 1 AND m.messageid IS NOT NULL AND m.dated_at BETWEEN ? AND ?",
        (key, *chat, *around),
    ).fetchall()
    free = [m for m in messages if m["taken_by"] is None]
    matches = _matches(sends, free)
    doubtful = {s["id"] for s in sends if s["messageid"] is not None and matches[s["id"]]}
    if doubtful:
        _give_up(cursor, doubtful)
        free += [m for m in messages if m["taken_by"] in doubtful]
    open = [s for s in sends if s["messageid"] is None or s["id"] in doubtful]
    matches = _matches(open, free)
    rivals: dict[str, int] = defaultdict(int)
    for matched in matches.values():
        for messageid in matched:
            rivals[messageid] += 1
    cursor.executemany(
        "UPDATE outbox SET messageid = ? WHERE id = ?",
        [(matched[0], id) for id, matched in matches.items() if len(matched) == 1 and rivals[matched[0]] == 1],
    )
    told = cursor.execute(
        "SELECT m.status, o.id FROM outbox o JOIN chat_message m ON m.account = ? AND m.platform = ? "
        "AND m.platformid = ? AND m.destination = ? AND m.messageid = o.messageid WHERE o.conversation = ? "
        "AND o.turn IS NULL AND o.id >= ? AND +o.messageid IS NOT NULL AND m.sent = 1 AND m.dated_at IS NOT NULL "
        "AND o.delivery_status IS NOT m.status",
        (*chat, key, sends[-1]["id"]),
    ).fetchall()
    cursor.executemany("UPDATE outbox SET delivery_status = ? WHERE id = ?", [tuple(row) for row in told])


def _matches(sends: Iterable[sqlite3.Row], messages: Iterable[sqlite3.Row]) -> dict[int, list[str]]:
    """Return the ids of the messages that match each send."""
    by_text: dict[str, list[sqlite3.Row]] = defaultdict(list)
    for message in messages:
        by_text[_plain(message["message"])].append(message)
    found = {}
    for send in sends:
        since, until = _moved(send["taken_at"], -1), _moved(send["completed_at"], 1)
        same = by_text.get(_plain(send["text"]), ())
        found[send["id"]] = [m["messageid"] for m in same if since <= m["dated_at"] <= until]
    return found


def _give_up(cursor: sqlite3.Cursor, ids: Iterable[int]) -> None:
    cursor.executemany("UPDATE outbox SET messageid = NULL, delivery_status = NULL WHERE id = ?", [(id,) for id in ids])


def _moved(time: str, way: int) -> str:
    return stored(time_of(time) + way * TOLERANCE)


def _plain(text: str | None) -> str:
    return (text or "").replace("\r\n", "\n").replace("\r", "\n").strip()
