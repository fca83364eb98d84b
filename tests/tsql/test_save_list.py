"""afil.save_list: answers become rows, and the same answer twice changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.tsql

ONE = {"platform": "whatsapp", "platformid": "100", "destination": "346", "message": "Hola 😀", "messageid": "m1",
       "sent": True, "status": "read", "datetime": "2026-05-01 10:20:30"}  # fmt: skip
NO_ID = {k: v for k, v in ONE.items() if k != "messageid"}
TABLES = {"channels": "chat_channel", "chats": "chat", "messages": "chat_message"}


def save(query: Any, kind: str, elements: list[dict[str, object]], day: int = 1, account: str = "default") -> None:
    query("DELETE FROM afil.response")
    body = json.dumps({"result": {"list": elements}})
    query("INSERT INTO afil.response (id, received_at, body) VALUES (1, SYSUTCDATETIME(), ?)", body)
    query("EXEC afil.save_list @id = 1, @list = ?, @account = ?, @now = ?", kind, account, f"2026-01-{day:02} 00:00:00")


def table(query: Any, kind: str) -> list[tuple[object, ...]]:
    return (
        [tuple(r) for r in query(f"SELECT * FROM afil.{TABLES[kind]} ORDER BY updated_at, message")]
        if (kind != "channels")
        else [tuple(r) for r in query("SELECT * FROM afil.chat_channel ORDER BY platform, platformid")]
    )


LISTS: dict[str, list[dict[str, object]]] = {
    "channels": [{"platform": "whatsapp", "platformid": "100", "name": "Tienda"}, {"platform": "webchat"}],
    "chats": [dict(ONE), ONE | {"destination": "347", "sent": None, "datetime": "yesterday"}, {"destination": "348"}],
    "messages": [dict(ONE), ONE | {"messageid": "m2", "message": "x" * 10000}, dict(NO_ID), {"message": "only text"}],
}


@pytest.mark.parametrize("kind", TABLES)
def test_the_same_answer_twice_changes_nothing_not_even_updated_at(query: Any, kind: str) -> None:
    save(query, kind, LISTS[kind], day=1)
    first = table(query, kind)
    assert len(first) == len(LISTS[kind])
    save(query, kind, LISTS[kind], day=2)
    assert table(query, kind) == first


@pytest.mark.parametrize("kind", TABLES)
def test_another_account_has_rows_of_its_own(query: Any, kind: str) -> None:
    save(query, kind, LISTS[kind])
    save(query, kind, LISTS[kind], account="shop")
    assert len(table(query, kind)) == 2 * len(LISTS[kind])


@pytest.mark.parametrize(
    ("kind", "change"),
    [("channels", {"name": "Otra"}), ("channels", {"name": None})]
    + [
        (kind, change)
        for kind in ("chats", "messages")
        for change in ({"message": "Adiós"}, {"sent": False}, {"sent": None}, {"status": "sent"}, {"status": None},
                       {"datetime": "2026-05-02 00:00:00"}, {"message": None})
    ]
    + [("chats", {"messageid": "m9"}), ("messages", {"destination": "999"})],
)  # fmt: skip
def test_what_changed_is_updated_and_what_did_not_is_left_alone(
    query: Any, kind: str, change: dict[str, object]
) -> None:
    save(query, kind, LISTS[kind], day=1)
    save(query, kind, [LISTS[kind][0] | change, *LISTS[kind][1:]], day=2)
    rows = query(f"SELECT * FROM afil.{TABLES[kind]} WHERE updated_at = '2026-01-02'")
    assert len(rows) == 1
    assert len(table(query, kind)) == len(LISTS[kind])
    for column, value in change.items():
        assert getattr(rows[0], column) == value


@pytest.mark.parametrize("kind", TABLES)
def test_of_two_elements_for_one_row_in_an_answer_the_later_wins(query: Any, kind: str) -> None:
    column = "name" if kind == "channels" else "message"
    first = LISTS[kind][0]
    save(query, kind, [first | {column: "earlier"}, first | {column: "later"}])
    assert [r[0] for r in query(f"SELECT {column} FROM afil.{TABLES[kind]}")] == ["later"]


def test_a_row_that_is_not_in_a_later_answer_stays(query: Any) -> None:
    save(query, "messages", [ONE])
    save(query, "messages", [ONE | {"messageid": "m2"}])
    assert sorted(r[0] for r in query("SELECT messageid FROM afil.chat_message")) == ["m1", "m2"]


@pytest.mark.parametrize("kind", TABLES)
def test_an_answer_without_a_list_changes_nothing(query: Any, kind: str) -> None:
    save(query, kind, LISTS[kind])
    before = table(query, kind)
    save(query, kind, [], day=2)
    query("UPDATE afil.response SET body = N'not JSON'")
    query("EXEC afil.save_list @id = 1, @list = ?, @account = N'default', @now = '2026-01-03'", kind)
    assert table(query, kind) == before
