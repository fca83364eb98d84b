"""The six methods: what each sends, and the rows that come back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from afilsql.api.answers import Answer, Mask, understand
from afilsql.api.client import AfilnetClient
from afilsql.api.methods import ERROR_CODES, MAX_LENGTH, METHODS, check
from afilsql.api.reply import Channel, Chat, Message, Reply
from afilsql.errors import DeliveryUnknown, InvalidParameter

ROW = {
    "platformid": 100,
    "platform": "whatsapp",
    "message": "Hi",
    "destination": 34600000000,
    "messageid": 5,
    "sent": "1",
    "status": "read",
    "datetime": "2026-01-02 03:04:05",
}


def reply(method: str, result: object, status: str = "SUCCESS") -> Reply:
    body = json.dumps({"status": status, "result": result}).encode()
    return understand(method, Answer(200, {}, body), mask=Mask(""), now=datetime(2026, 1, 1, tzinfo=UTC))


class Recorder(AfilnetClient):
    def __init__(self) -> None:
        super().__init__("u", "p")
        self.calls: list[tuple[str, dict[str, str]]] = []

    def call(self, method: str, parameters: Mapping[str, str | None], *, send_by: float = math.inf) -> Reply:
        self.calls.append((method, check(method, parameters)))
        return Reply(method, 200, (), "")


def test_every_method_has_its_own_function() -> None:
    client = Recorder()
    chat = {"platform": "telegram", "platformid": "200", "destination": "7"}
    client.send_message(**chat, message="m")
    client.send_file(**chat, type="image", fileurl="https://x.example/y.png", message="m")
    client.get_chat_channels()
    client.get_chats("telegram", "200")
    client.get_messages(**chat)
    client.get_unread_messages(**chat)
    assert client.calls == [
        ("sendmessage", chat | {"message": "m"}),
        ("sendfile", chat | {"type": "image", "fileurl": "https://x.example/y.png", "message": "m"}),
        ("getchatchannels", {}),
        ("getchats", {"platform": "telegram", "platformid": "200"}),
        ("getmessages", chat),
        ("getunreadmessages", chat),
    ]
    assert {method for method, _ in client.calls} == set(METHODS)


@pytest.mark.parametrize("wrap", [lambda rows: {"list": rows}, lambda rows: rows], ids=["result.list", "result"])
def test_the_list_is_found_with_or_without_its_wrapper(wrap: Any) -> None:
    answer = reply("getchatchannels", wrap([{"platformid": 100, "platform": "whatsapp", "name": "Shop"}]))
    assert answer.rows == (Channel("100", "whatsapp", "Shop"),)
    assert reply("getchatchannels", wrap([])).rows == ()


@pytest.mark.parametrize(("method", "kind"), [("getchats", Chat), ("getmessages", Message)])
def test_numbers_come_out_as_text_and_the_flag_as_a_truth_value(method: str, kind: type) -> None:
    (row,) = reply(method, {"list": [ROW]}).rows
    assert isinstance(row, kind)
    assert row == kind("100", "whatsapp", "Hi", "34600000000", "5", True, "read", "2026-01-02 03:04:05")


@pytest.mark.parametrize(
    ("value", "flag"),
    [(True, True), (1, True), ("1", True), ("TRUE", True), (False, False), (0, False), ("false", False), ("", None)],
)
@pytest.mark.parametrize("field", ["sent", "issent"])
def test_sent_and_issent_are_one_flag(field: str, value: object, flag: bool | None) -> None:
    item = {k: v for k, v in ROW.items() if k != "sent"} | {field: value}
    (row,) = reply("getunreadmessages", {"list": [item]}).dicts()
    assert row["sent"] is flag
    assert "issent" not in row
    assert list(row) == list(ROW)


def test_a_field_the_answer_left_out_is_none() -> None:
    assert reply("getmessages", [{}]).dicts() == [dict.fromkeys(ROW)]


def test_text_no_database_can_store_is_repaired() -> None:
    (row,) = reply("getmessages", [ROW | {"message": "a\ud800b\x00c😀"}]).dicts()
    assert row["message"] == "a\ufffdb\ufffdc😀"


@pytest.mark.parametrize("result", [None, {}, {"list": "x"}, {"list": {}}, "x", 3, [1], {"list": [None]}])
def test_a_get_method_without_a_list_has_the_wrong_shape(result: object) -> None:
    with pytest.raises(DeliveryUnknown) as caught:
        reply("getmessages", result)
    assert caught.value.code == "BAD_SHAPE"


@pytest.mark.parametrize("result", [None, {}, [], "done", {"list": 3}, 7])
def test_a_send_takes_any_result(result: object) -> None:
    assert reply("sendmessage", result, status="success").rows == ()


def test_a_reply_keeps_the_answer_as_it_came() -> None:
    answer = understand(
        "sendmessage",
        Answer(200, {}, '\ufeff{"status" : "Success", "x": "ñ"}'.encode()),
        mask=Mask(""),
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert answer.text == '{"status" : "Success", "x": "ñ"}'


@pytest.mark.parametrize("method", METHODS)
def test_every_required_parameter_is_insisted_on(method: str) -> None:
    values = {"platform": "whatsapp", "type": "image", "fileurl": "http://x.example/y"}
    full = {p: values.get(p, "1") for p in METHODS[method].required}
    assert check(method, full) == full
    for name in full:
        with pytest.raises(InvalidParameter, match=f"@{name}"):
            check(method, full | {name: " "})


@pytest.mark.parametrize(
    "bad",
    [
        {"platform": "sms"},
        {"destination": "x" * (MAX_LENGTH["destination"] + 1)},
        {"message": "a\x00"},
        {"message": "\ud83d"},
        {"other": "x"},
    ],
)
def test_a_value_that_is_not_allowed_is_named(bad: dict[str, str]) -> None:
    good = {"platform": "whatsapp", "platformid": "1", "destination": "2", "message": "3"}
    with pytest.raises(InvalidParameter, match=next(iter(bad))):
        check("sendmessage", good | bad)


def test_every_code_names_methods_that_exist() -> None:
    assert all(set(code.methods) <= set(METHODS) for code in ERROR_CODES.values())
