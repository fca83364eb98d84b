"""CSV lines become requests, or reasons with a line number."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from afilsql.errors import InvalidParameter
from afilsql.importer import BadLine, GoodLine, make_request, parse_time, read_csv

HEAD = "platform,platformid,destination,message"


def read(text: str) -> list[GoodLine | BadLine]:
    return list(read_csv(text.splitlines(keepends=True)))


def test_a_line_becomes_a_message_by_default():
    (line,) = read(f"{HEAD}\nwhatsapp,100,346,Hi ñ 👋\n")
    assert isinstance(line, GoodLine)
    assert line.line == 2
    assert line.request.method == "sendmessage"
    assert line.request.parameters["message"] == "Hi ñ 👋"


def test_every_column_reaches_the_request():
    text = "method,account,priority,send_at,dedup_key,platform,platformid,destination,type,fileurl,thumburl,message\n"
    (line,) = read(
        text
        + "sendfile,shop,1,2030-01-02T03:04:05+02:00,k,whatsapp,1,2,image,https://a.example/b,https://a.example/t,x\n"
    )
    assert isinstance(line, GoodLine)
    r = line.request
    assert (r.method, r.account, r.priority, r.dedup_key) == ("sendfile", "shop", 1, "k")
    assert r.send_at == datetime(2030, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert r.parameters["thumburl"] == "https://a.example/t"


def test_bad_lines_are_reported_with_their_numbers_and_good_ones_survive():
    lines = read(f"{HEAD}\nfax,100,346,a\n\nwhatsapp,100,346,b\nwhatsapp,100,346\n")
    assert [(type(x), x.line) for x in lines] == [(BadLine, 2), (GoodLine, 4), (BadLine, 5)]


def test_a_field_over_several_lines_keeps_later_numbers_right():
    lines = read(f'{HEAD}\nwhatsapp,100,346,"one\ntwo"\nfax,100,346,b\n')
    assert isinstance(lines[0], GoodLine)
    assert lines[0].request.parameters["message"] == "one\ntwo"
    assert lines[1].line == 4


def test_semicolons_and_a_byte_order_mark_are_understood():
    (line,) = read("\ufeff" + HEAD.replace(",", ";") + "\nwhatsapp;100;346;a,b\n")
    assert isinstance(line, GoodLine)
    assert line.request.parameters["message"] == "a,b"


def test_an_open_quote_is_a_bad_line():
    (line,) = read(f'{HEAD}\nwhatsapp,100,346,"open\n')
    assert isinstance(line, BadLine)
    assert "quot" in line.reason


@pytest.mark.parametrize("head", ["", "platform,phone", "platform,platform"])
def test_a_wrong_header_is_refused(head):
    with pytest.raises(InvalidParameter, match="line 1"):
        read(f"{head}\n")


@pytest.mark.parametrize(
    ("field", "value"),
    [("priority", "10"), ("priority", "x"), ("send_at", "soon"), ("dedup_key", "k" * 201), ("account", "a" * 129)],
)
def test_a_wrong_control_field_is_refused_by_name(field, value):
    with pytest.raises(InvalidParameter, match=f"@{field}"):
        make_request({"method": "getchatchannels", field: value})


def test_a_time_without_zone_is_utc():
    assert parse_time("2030-01-02T03:04") == datetime(2030, 1, 2, 3, 4, tzinfo=UTC)
