"""afil.receive: answers become rows, and the same answer twice changes nothing; triggers of the DBA's own run here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.tsql.conftest import DriverError
from tests.tsql.rows import add, events, one, statuses

pytestmark = pytest.mark.tsql

ONE = {"platform": "whatsapp", "platformid": "100", "destination": "346", "message": "Hola 😀", "messageid": "m1",
       "sent": True, "status": "read", "datetime": "2026-05-01 10:20:30"}  # fmt: skip
NO_ID = {k: v for k, v in ONE.items() if k != "messageid"}
TABLES = {"channels": "chat_channel", "chats": "chat", "messages": "chat_message"}


LEASE = "11111111-2222-3333-4444-555555555555"


def row(query: Any, account: str = "default", method: str = "getmessages", **columns: object) -> int:
    """A request in flight."""
    return add(query, "sending", account=account, method=method, message=None, lease_id=LEASE, **columns)


def save(query: Any, kind: str, elements: list[dict[str, object]], day: int = 1, account: str = "default") -> None:
    """Receive a list for a request of its own, as if on this day of January."""
    table = TABLES[kind]
    before = query(f"SELECT MAX(updated_at) AS at FROM afil.{table}")[0].at
    received(query, row(query, account), kind, elements)
    query(f"UPDATE afil.{table} SET updated_at = ? WHERE updated_at > ? OR ? IS NULL",
          f"2026-01-{day:02} 00:00:00", before, before)  # fmt: skip


def received(query: Any, id: int, kind: str, elements: list[dict[str, object]], lease: str = LEASE) -> bool:
    sql = "EXEC afil.receive @id = ?, @lease_id = ?, @attempt = 1, @list = ?, @rows = ?"
    return bool(query(sql, id, lease, kind, json.dumps(elements))[0].received)


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
def test_an_empty_list_changes_nothing(query: Any, kind: str) -> None:
    save(query, kind, LISTS[kind])
    before = table(query, kind)
    received(query, row(query), kind, [])
    assert table(query, kind) == before


def test_texts_arrive_unharmed_however_long(query: Any) -> None:
    text = 'ñ 😀 "quoted" \\ C:\\new\ttab\r\nline ' + "é" * 20_000
    received(query, row(query), "messages", [ONE | {"message": text}])
    assert query("SELECT message FROM afil.chat_message")[0].message == text


@pytest.mark.parametrize(
    "change", [{"status": "queued"}, {"lease_id": "11111111-2222-3333-4444-000000000000"}, {"attempts": 2}]
)
def test_a_worker_that_lost_its_lease_keeps_nothing(query: Any, change: dict[str, object]) -> None:
    id = row(query)
    query(f"UPDATE afil.outbox SET {', '.join(f'{c} = ?' for c in change)} WHERE id = ?", *change.values(), id)
    assert not received(query, id, "messages", LISTS["messages"])
    assert table(query, "messages") == []


@pytest.mark.parametrize("given", [("lists", "[]"), (None, "[]"), ("chats", "{"), ("chats", None)])
def test_what_is_no_list_is_refused(query: Any, given: tuple[str | None, str | None]) -> None:
    id = row(query)
    with pytest.raises(DriverError, match=r"51001|@list|@rows"):
        query("EXEC afil.receive @id = ?, @lease_id = ?, @attempt = 1, @list = ?, @rows = ?", id, LEASE, *given)


def test_messages_are_inserted_in_the_order_of_their_times_whichever_way_they_are_listed(query: Any) -> None:
    def listed(name: str, *times: int | None) -> list[dict[str, object]]:
        return [
            ONE | {"messageid": f"{name}{n}", "destination": name, "dated_at": t and f"2026-05-01T10:00:0{t}"}
            for n, t in enumerate(times)
        ]

    for name, times in {"up": (1, 1, 2, 3), "down": (3, 2, 2, 1), "mixed": (2, 3, 1), "undated": (3, None, 1)}.items():
        received(query, row(query, destination=name), "messages", listed(name, *times))
    order = [r.messageid for r in query("SELECT messageid FROM afil.chat_message ORDER BY id")]
    assert order == ["up0", "up1", "up2", "up3", "down3", "down2", "down1", "down0", "mixed2", "mixed0", "mixed1",
                     "undated0", "undated1", "undated2"]  # fmt: skip


@pytest.fixture
def trigger(query: Any) -> Any:
    """Creates a trigger on afil.chat_message with this body; it is gone afterwards."""

    def create(body: str) -> None:
        query(f"CREATE TRIGGER afil.on_message ON afil.chat_message AFTER INSERT AS BEGIN SET NOCOUNT ON; {body} END")

    drop = "IF OBJECT_ID(N'afil.on_message') IS NOT NULL DROP TRIGGER afil.on_message"
    query(drop)
    yield create
    query("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
    query(drop)


def test_a_trigger_sees_each_new_message_once(query: Any, trigger: Any) -> None:
    trigger("INSERT INTO afil.event_log (logged_at, event, detail) "
            "SELECT SYSUTCDATETIME(), 'seen', messageid FROM inserted;")  # fmt: skip
    for more in ([], [ONE | {"messageid": "m2"}], []):
        received(query, row(query), "messages", [ONE, *more])
    received(query, row(query), "messages", [ONE | {"status": "deleted"}])
    assert events(query) == [("seen", "m1"), ("seen", "m2")]


def test_a_trigger_may_send(query: Any, trigger: Any) -> None:
    trigger("EXEC afil.send_message @platform = N'whatsapp', @platformid = N'100', @destination = N'346', "
            "@message = N'We read you.';")  # fmt: skip
    received(query, row(query), "messages", [ONE])
    assert [r.message for r in query("SELECT message FROM afil.outbox WHERE method = 'sendmessage'")] == [
        "We read you."
    ]


def test_a_trigger_that_fails_keeps_its_answer_out_and_says_why(query: Any, trigger: Any) -> None:
    trigger("IF EXISTS (SELECT 1 FROM inserted WHERE messageid = N'bad') THROW 50000, 'not this one', 1;")
    with pytest.raises(DriverError, match="not this one"):
        received(query, row(query), "messages", [ONE, ONE | {"messageid": "bad"}])
    assert query("SELECT @@TRANCOUNT AS open_transactions")[0].open_transactions == 0
    assert table(query, "messages") == []
    assert received(query, row(query), "messages", [ONE])
    assert statuses(query) == ["sending", "sending"]


NOW = "2026-05-01T10:00:00.000"


def sent(query: Any, text: str | None, at: str = NOW, **columns: object) -> int:
    """A request of ours that was sent at this time."""
    key = "\x1f".join(("default", "whatsapp", "100", "346"))
    given = {"message": text, "conversation": key, "taken_at": at} | columns
    id = add(query, "sent", **given)
    query("UPDATE afil.outbox SET completed_at = ? WHERE id = ?", at, id)
    return id


def ours(messageid: str, text: str, at: str = NOW, status: str = "delivered") -> dict[str, object]:
    return ONE | {"messageid": messageid, "message": text, "dated_at": at, "status": status}


def delivery(query: Any, id: int) -> tuple[str | None, str | None]:
    found = one(query, id)
    return found.messageid, found.delivery_status


def test_the_state_of_a_message_of_ours_is_written_to_its_request_and_kept_up(query: Any) -> None:
    a, b = sent(query, "one\r\n two \t"), sent(query, "ONE\n two")
    received(query, row(query), "messages", [ours("m1", "\n one\n two"), ours("m2", "ONE\n two", status="sent")])
    assert (delivery(query, a), delivery(query, b)) == (("m1", "delivered"), ("m2", "sent"))
    received(query, row(query), "messages", [ours("m1", "one\n two", status="read")])
    assert (delivery(query, a), delivery(query, b)) == (("m1", "read"), ("m2", "sent"))


def test_a_file_is_recognized_by_its_url_and_one_with_a_text_by_that(query: Any) -> None:
    url = "https://example.com/a.pdf"
    a = sent(query, None, method="sendfile", type="document", fileurl=url)
    b = sent(query, "Your invoice", method="sendfile", type="document", fileurl="https://example.com/b.pdf")
    received(query, row(query), "messages", [ours("m1", url), ours("m2", "Your invoice")])
    assert (delivery(query, a)[0], delivery(query, b)[0]) == ("m1", "m2")


@pytest.mark.parametrize(
    "listed",
    [
        [ours("m1", "other")],
        [ours("m1", "Hi")],
        [ours("m1", "hi", at="2026-05-01T10:02:01")],
        [ours("m1", "hi", at="2026-05-01T09:57:59")],
        [ours("m1", "hi") | {"sent": False}],
        [ours("m1", "hi") | {"sent": None}],
        [ours("m1", "hi") | {"dated_at": None}],
        [ours("m1", "hi") | {"messageid": None}],
        [ours("m1", "hi"), ours("m2", "hi", at="2026-05-01T10:01:00")],
    ],
)
def test_what_cannot_be_recognized_beyond_doubt_is_not_guessed(query: Any, listed: list[dict[str, object]]) -> None:
    id = sent(query, "hi")
    received(query, row(query), "messages", listed)
    assert delivery(query, id) == (None, None)


def test_two_requests_with_one_text_at_one_time_are_not_told_apart(query: Any) -> None:
    a, b = sent(query, "hi"), sent(query, "hi", at="2026-05-01T10:01:00")
    received(query, row(query), "messages", [ours("m1", "hi"), ours("m2", "hi", at="2026-05-01T10:01:00")])
    assert delivery(query, a) == delivery(query, b) == (None, None)


def test_the_same_text_hours_apart_is_told_apart(query: Any) -> None:
    a, b = sent(query, "hi"), sent(query, "hi", at="2026-05-01T12:00:00")
    received(query, row(query), "messages", [ours("m1", "hi"), ours("m2", "hi", at="2026-05-01T12:00:01")])
    assert (delivery(query, a)[0], delivery(query, b)[0]) == ("m1", "m2")


def test_a_recognition_that_becomes_ambiguous_is_taken_back(query: Any) -> None:
    id = sent(query, "hi")
    received(query, row(query), "messages", [ours("m1", "hi")])
    assert delivery(query, id) == ("m1", "delivered")
    received(query, row(query), "messages", [ours("m1", "hi"), ours("m2", "hi", at="2026-05-01T10:01:00")])
    assert delivery(query, id) == (None, None)


@pytest.mark.parametrize("status", ["failed", "uncertain", "cancelled"])
def test_a_request_that_was_not_sent_is_not_recognized(query: Any, status: str) -> None:
    key = "\x1f".join(("default", "whatsapp", "100", "346"))
    id = add(query, status, message="hi", conversation=key, taken_at=NOW)
    query("UPDATE afil.outbox SET completed_at = ? WHERE id = ?", NOW, id)
    received(query, row(query), "messages", [ours("m1", "hi")])
    assert delivery(query, id) == (None, None)
