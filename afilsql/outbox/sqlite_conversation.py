"""A conversation as the embedded database knows it: the twin of sql/procedures/conversation.sql."""

from __future__ import annotations

import sqlite3

from afilsql.outbox.base import conversation_key
from afilsql.outbox.records import Entry
from afilsql.outbox.sqlite_rows import time_of

_ENTRIES = """
SELECT COALESCE(m.dated_at, m.seen_at, m.updated_at) AS at, m.account, m.sent, m.message, m.status, m.messageid,
    (SELECT MIN(o.id) FROM outbox o WHERE o.conversation = :key AND o.messageid = m.messageid) AS request_id,
    m.id AS row_id
FROM chat_message m
WHERE m.account = :account AND m.platform = :platform AND m.platformid = :platformid AND m.destination = :destination
UNION ALL
SELECT COALESCE(o.completed_at, o.created_at), o.account, 1, COALESCE(NULLIF(o.message, ''), o.fileurl), o.status,
    NULL, o.id, NULL
FROM outbox o
WHERE o.conversation = :key AND +o.messageid IS NULL AND o.method IN ('sendmessage', 'sendfile')
    AND o.status <> 'cancelled'
ORDER BY 1 DESC, 8 DESC, 7 DESC
LIMIT :limit
"""


def conversation(
    cursor: sqlite3.Cursor, platform: str, platformid: str, destination: str, account: str | None, limit: int
) -> list[Entry]:
    """Return the latest entries, oldest first; of one account, or of all."""
    chat = {"platform": platform, "platformid": platformid, "destination": destination}
    accounts = _accounts(cursor, chat) if account is None else [account]
    rows: list[sqlite3.Row] = []
    for name in accounts:
        values = chat | {"account": name, "key": conversation_key(name, chat), "limit": limit}
        rows += cursor.execute(f"SELECT * FROM ({_ENTRIES})", values).fetchall()
    rows.sort(key=lambda r: (r["at"], r["row_id"] or 0, r["request_id"] or 0))
    return [
        Entry(
            at=time_of(row["at"]),
            account=row["account"],
            sent=None if row["sent"] is None else bool(row["sent"]),
            message=row["message"],
            status=row["status"],
            messageid=row["messageid"],
            request_id=row["request_id"],
            row_id=row["row_id"],
        )
        for row in rows[max(0, len(rows) - limit) :]
    ]


def _accounts(cursor: sqlite3.Cursor, chat: dict[str, str]) -> list[str]:
    """Return the accounts that have the chat, by name: of the requests one look into the index each."""
    found = cursor.execute(
        "SELECT DISTINCT account FROM chat_message "
        "WHERE platform = :platform AND platformid = :platformid AND destination = :destination",
        chat,
    )
    names = {str(row["account"]) for row in found.fetchall()}
    last = ""
    while row := cursor.execute(
        "SELECT account, conversation FROM outbox WHERE conversation > ? ORDER BY conversation LIMIT 1", (last,)
    ).fetchone():
        names.add(row["account"])
        # U+0020 follows the U+001F that ends an account's name in the key: past all keys of this account.
        last = row["conversation"].split("\x1f")[0] + " "
    return sorted(names)
