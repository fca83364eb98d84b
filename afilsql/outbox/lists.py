"""Which rows of the lists that the API brought are asked for: the clauses, the same for every outbox."""

from __future__ import annotations

from dataclasses import dataclass

from afilsql.errors import InvalidParameter

_ORDER = {
    "channels": "platform, platformid",
    "chats": "platform, platformid, destination",
    "messages": "id",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The clauses of a query on one of the lists.

    Attributes:
        where: WHERE with a mark for each of `values`, or empty.
        order: What to order by.
    """

    where: str
    values: tuple[object, ...]
    order: str


def asked(
    kind: str,
    *,
    account: str | None = None,
    platform: str | None = None,
    platformid: str | None = None,
    destination: str | None = None,
    after: int | None = None,
    latest: bool = False,
) -> Asked:
    """Return the clauses for what Outbox.rows_of is asked; with `latest` the newest row comes first.

    Raises:
        InvalidParameter: There is no such list, or it has no such column.
    """
    if kind not in _ORDER:
        raise InvalidParameter(f"there are no rows of '{kind}': use one of {', '.join(_ORDER)}")
    if kind != "messages" and (after is not None or latest):
        raise InvalidParameter(f"'after' and 'latest' go by the ids of messages, and {kind} have none: leave them out")
    if kind == "channels" and destination is not None:
        raise InvalidParameter("channels have no destination: leave it out")
    conditions: dict[str, object | None] = {
        "account = ?": account,
        "platform = ?": platform,
        "platformid = ?": platformid,
        "destination = ?": destination,
        "id > ?": after,
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    where = "WHERE " + " AND ".join(given) if given else ""
    return Asked(where, tuple(given.values()), _ORDER[kind] + (" DESC" if latest else ""))
