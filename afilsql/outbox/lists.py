"""Which rows of the lists that the API brought are asked for: the clauses, the same for every outbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from afilsql.errors import InvalidParameter

_ORDER = {
    "channels": "platform, platformid",
    "chats": "platform, platformid, destination",
    "messages": "id",
}


class Which(TypedDict, total=False):
    """Rows of a list; what is left out or None tells nothing apart.

    Attributes:
        account, platform, platformid, destination: Of these; channels have no destination.
        after: Messages with an id above this one, the oldest first.
        latest: The last messages, of these too the oldest first.
    """

    account: str | None
    platform: str | None
    platformid: str | None
    destination: str | None
    after: int | None
    latest: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """The clauses of a query on one of the lists.

    Attributes:
        where: WHERE with a mark for each of `values`, or empty.
        order: What to order by.
        newest_first: The rows come in the reverse of the order in which they are wanted.
    """

    where: str
    values: tuple[object, ...]
    order: str
    newest_first: bool


def asked(kind: str, which: Which) -> Asked:
    """Return the clauses for the rows that are asked for.

    Raises:
        InvalidParameter: There is no such list, or it has no such column.
    """
    if kind not in _ORDER:
        raise InvalidParameter(f"there are no rows of '{kind}': use one of {', '.join(_ORDER)}")
    latest, after = which.get("latest", False), which.get("after")
    if kind != "messages" and (after is not None or latest):
        raise InvalidParameter(f"'after' and 'latest' go by the ids of messages, and {kind} have none: leave them out")
    if kind == "channels" and which.get("destination") is not None:
        raise InvalidParameter("channels have no destination: leave it out")
    conditions: dict[str, object] = {
        "account = ?": which.get("account"),
        "platform = ?": which.get("platform"),
        "platformid = ?": which.get("platformid"),
        "destination = ?": which.get("destination"),
        "id > ?": after,
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    where = "WHERE " + " AND ".join(given) if given else ""
    return Asked(where, tuple(given.values()), _ORDER[kind] + (" DESC" if latest else ""), latest)
