"""afil.channels_of, chats_of and messages_of: the stored answer to a request, as rows."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from typing import Any

import pytest

pytestmark = pytest.mark.tsql

COLUMNS = ("platform", "platformid", "destination", "message", "messageid", "sent", "status", "datetime")
MESSAGE: dict[str, object] = {
    "platform": "whatsapp",
    "platformid": "100",
    "destination": "34600000000",
    "message": 'Pedido nº 7 «listo»\n\t😀 שלום \\ / "x"',
    "messageid": "m1",
    "sent": True,
    "status": "read",
    "datetime": "2026-05-01 10:20:30",
}
at = partial(datetime, tzinfo=None)
FUNCTIONS = ("channels_of", "chats_of", "messages_of")


def answer(query: Any, body: object) -> None:
    """Keep an answer to request 1."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    query("DELETE FROM afil.response")
    query("INSERT INTO afil.response (id, received_at, body) VALUES (1, SYSUTCDATETIME(), ?)", text)


def rows(query: Any, function: str) -> list[Any]:
    return query(f"SELECT * FROM afil.{function}(1) ORDER BY n")


@pytest.mark.parametrize("function", ["chats_of", "messages_of"])
@pytest.mark.parametrize("wrap", [lambda v: {"list": v}, lambda v: v], ids=["result.list", "result"])
def test_a_list_at_either_place_comes_back_whole_and_in_order(query: Any, function: str, wrap: Any) -> None:
    answer(query, {"result": wrap([MESSAGE, MESSAGE | {"messageid": "m2"}])})
    got = rows(query, function)
    assert [(r.n, r.messageid) for r in got] == [(1, "m1"), (2, "m2")]
    assert {c: getattr(got[0], c) for c in COLUMNS} == MESSAGE
    assert got[0].dated_at == at(2026, 5, 1, 10, 20, 30)


@pytest.mark.parametrize("wrap", [lambda v: {"list": v}, lambda v: v], ids=["result.list", "result"])
def test_channels_come_back_whole_and_in_order(query: Any, wrap: Any) -> None:
    channel = {"platform": "telegram", "platformid": "200", "name": 'Tienda "Centro" 😀'}
    answer(query, {"result": wrap([channel, {"platform": "webchat"}])})
    assert [tuple(r) for r in rows(query, "channels_of")] == [
        (1, "telegram", "200", 'Tienda "Centro" 😀'),
        (2, "webchat", None, None),
    ]


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("text", ["é 😀 שלום \u0007 \\n \n", '"quoted"', '""', "\\", '\\"', '"\\', "\\\\n", "'", " x "])
def test_escaped_and_raw_characters_read_the_same(query: Any, text: str, escaped: bool) -> None:
    answer(query, json.dumps({"result": [{"message": text}]}, ensure_ascii=escaped))
    assert rows(query, "messages_of")[0].message == text


@pytest.mark.parametrize(
    ("element", "sent"),
    [
        ({"sent": True}, True), ({"sent": False}, False), ({"issent": True}, True), ({"issent": False}, False),
        ({"issent": 1}, True), ({"issent": "0"}, False), ({"issent": "yes"}, True), ({"sent": None}, None),
        ({}, None), ({"sent": "perhaps"}, None), ({"sent": False, "issent": True}, False),
    ],
)  # fmt: skip
def test_issent_counts_as_sent(query: Any, element: dict[str, object], sent: bool | None) -> None:
    answer(query, {"result": [element]})
    assert rows(query, "messages_of")[0].sent is sent


@pytest.mark.parametrize(
    ("text", "dated_at"),
    [
        ("2026-05-01 10:20:30", at(2026, 5, 1, 10, 20, 30)),
        ("2026-05-01T10:20:30", at(2026, 5, 1, 10, 20, 30)),
        ("2026-05-01T10:20:30Z", at(2026, 5, 1, 10, 20, 30)),
        ("2026-05-01T10:20:30.123", at(2026, 5, 1, 10, 20, 30, 123000)),
        ("2026-05-01", at(2026, 5, 1)),
        ("2026-02-30 10:20:30", None),
        ("2026-05-01 25:00:00", None),
        ("01/05/2026 10:20", None),
        ("yesterday", None),
        ("1777624830", None),
        ("", None),
    ],
)
def test_a_time_is_parsed_where_it_is_iso_8601_and_its_text_is_kept_anyway(
    query: Any, text: str, dated_at: datetime | None
) -> None:
    answer(query, {"result": [{"datetime": text}]})
    row = rows(query, "messages_of")[0]
    assert (row.datetime, row.dated_at) == (text, dated_at)


def test_a_time_that_came_as_a_number_or_not_at_all_is_no_error(query: Any) -> None:
    answer(query, {"result": [{"datetime": 1777624830}, {"datetime": None}, {}]})
    assert [(r.datetime, r.dated_at) for r in rows(query, "messages_of")] == [
        ("1777624830", None), (None, None), (None, None),
    ]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_without_an_answer_there_are_no_rows(query: Any, function: str) -> None:
    assert rows(query, function) == []
    assert query(f"SELECT * FROM afil.{function}(NULL)") == []


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "body",
    ["", "not JSON", "<html>502</html>", '{"result": ', "{}", "[]", '[{"platform": "x"}]', '"text"', "5", "null",
     '{"result": null}', '{"result": 5}', '{"result": "text"}', '{"result": {}}', '{"result": {"list": null}}',
     '{"result": {"list": []}}', '{"result": []}'],
)  # fmt: skip
def test_an_answer_without_a_list_has_no_rows(query: Any, function: str, body: str) -> None:
    answer(query, body)
    assert rows(query, function) == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_elements_that_are_no_objects_are_passed_by(query: Any, function: str) -> None:
    answer(query, {"result": [1, "text", "{not an object", None, True, [2], {"platform": "whatsapp"}]})
    assert [(r.n, r.platform) for r in rows(query, function)] == [(7, "whatsapp")]


def test_messages_of_ten_thousand_characters_come_back_whole(query: Any) -> None:
    texts = ["é" * 10000, "😀" * 5000, 'a\\"\n' * 2500, "שלום " * 2000]
    answer(query, {"result": {"list": [{"message": t, "messageid": str(n)} for n, t in enumerate(texts)]}})
    assert [r.message for r in rows(query, "messages_of")] == texts


def test_what_is_longer_than_a_column_is_cut_to_it(query: Any) -> None:
    answer(query, {"result": [dict.fromkeys(("platform", "platformid", "name", "destination", "status"), "x" * 500)]})
    assert [len(v) for v in rows(query, "channels_of")[0][1:]] == [20, 100, 400]
    row = rows(query, "messages_of")[0]
    assert (len(row.platform), len(row.destination), len(row.status)) == (20, 200, 50)
