"""Between rows of the embedded database and our records: times, claims, items, and the lists that answers bring."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from afilsql.outbox.records import Check, Claim, Item, Known, Result

PARAMETERS = ("platform", "platformid", "destination", "message", "type", "fileurl", "thumburl")
_WIDTH = {
    "platform": 20,
    "platformid": 100,
    "destination": 200,
    "name": 400,
    "messageid": 100,
    "status": 50,
    "datetime": 50,
}
_LIST_COLUMNS = ("platform", "platformid", "destination", "name", "message", "messageid", "sent", "status", "datetime")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def stored(time: datetime) -> str:
    """UTC without a zone, to the microsecond: the form in which SQLAlchemy keeps a DateTime in SQLite."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cut(value: Any, width: int | None) -> Any:
    """Text shortened to its column; anything else as it is."""
    return value[:width] if isinstance(value, str) else value


def _parameters(row: sqlite3.Row) -> dict[str, str]:
    return {p: row[p] for p in PARAMETERS if row[p]}


def claim_of(row: sqlite3.Row, look: tuple[datetime, list[sqlite3.Row]] | None = None) -> Claim:
    """Return a row as a claim; one to be read back comes with the time now and what else its conversation was sent."""
    check = None
    if look is not None:
        now, known = look
        others = [
            Known(k["id"], bool(k["is_certain"]), time_of(k["taken_at"]), _texts(k["message"], k["fileurl"]))
            for k in known
        ]
        check = Check(now, time_of(row["unknown_since"]), time_of(row["taken_at"]), others)
    return Claim(
        id=row["id"],
        request_id=UUID(row["request_id"]),
        account=row["account"],
        method=row["method"],
        parameters=_parameters(row),
        attempt=row["attempts"],
        max_attempts=row["max_attempts"],
        lease_id=UUID(row["lease_id"]),
        probe=bool(row["is_probe"]),
        check=check,
    )


def _texts(*texts: str | None) -> tuple[str, ...]:
    return tuple(text for text in texts if text)


def item_of(row: sqlite3.Row) -> Item:
    return Item(
        id=row["id"],
        request_id=UUID(row["request_id"]),
        account=row["account"],
        method=row["method"],
        parameters=_parameters(row),
        priority=row["priority"],
        status=row["status"],
        due_at=time_of(row["due_at"]),
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        created_at=time_of(row["created_at"]),
        created_by=row["created_by"],
        completed_at=time_of(row["completed_at"]) if row["completed_at"] else None,
        error_code=row["error_code"],
        http_status=row["http_status"],
        dedup_key=row["dedup_key"],
    )


def save_rows(cursor: sqlite3.Cursor, r: Result, account: str, now: str) -> None:
    """Keep the list of one answer; a row that is there and says the same is left alone."""
    rows = [
        {k: cut(row.get(k), _WIDTH.get(k)) for k in _LIST_COLUMNS}
        | {"account": account, "now": now, "dated_at": _dated_at(row.get("datetime"))}
        for row in r.rows
    ]
    if r.kind_of_rows == "channels":
        cursor.executemany(
            "INSERT INTO chat_channel (account, platform, platformid, name, updated_at) "
            "VALUES (:account, COALESCE(:platform, ''), COALESCE(:platformid, ''), :name, :now) "
            "ON CONFLICT DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at "
            "WHERE name IS NOT excluded.name",
            rows,
        )
        return
    columns = (
        "(account, platform, platformid, destination, message, messageid, sent, status, datetime, dated_at, updated_at)"
    )
    values = (
        "VALUES (:account, COALESCE(:platform, ''), COALESCE(:platformid, ''), COALESCE(:destination, ''), "
        ":message, :messageid, :sent, :status, :datetime, :dated_at, :now)"
    )
    told = ["message", "sent", "status", "datetime"]
    if r.kind_of_rows == "chats":
        table, key = "chat", "(account, platform, platformid, destination)"
        told.append("messageid")
    else:
        table, key = "chat_message", "(account, platform, platformid, messageid) WHERE messageid IS NOT NULL"
        told.append("destination")
        rows = [row for row in rows if row.get("messageid") is not None or not _known(cursor, row)]
    set_ = ", ".join(f"{c} = excluded.{c}" for c in (*told, "dated_at", "updated_at"))
    differs = " OR ".join(f"{table}.{c} IS NOT excluded.{c}" for c in told)
    cursor.executemany(
        f"INSERT INTO {table} {columns} {values} ON CONFLICT {key} DO UPDATE SET {set_} WHERE {differs}", rows
    )


def _known(cursor: sqlite3.Cursor, row: dict[str, object]) -> bool:
    """True when a message without an id is here already, to the letter."""
    found = cursor.execute(
        "SELECT 1 FROM chat_message WHERE account = :account AND platform = COALESCE(:platform, '') "
        "AND platformid = COALESCE(:platformid, '') AND destination = COALESCE(:destination, '') "
        "AND message IS :message "
        "AND datetime IS :datetime AND messageid IS NULL",
        row,
    )
    return found.fetchone() is not None


def _dated_at(text: Any) -> str | None:
    """The `datetime` of a chat or message as stored where it is an ISO 8601 time, else None."""
    if not isinstance(text, str) or not _ISO_DATE.match(text):
        return None
    try:
        time = datetime.fromisoformat(text.strip())
        return stored(time if time.tzinfo else time.replace(tzinfo=UTC))
    except (ValueError, OverflowError):  # in UTC it may lie before the year 1 or after 9999
        return None
