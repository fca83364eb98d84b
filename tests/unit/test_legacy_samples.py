"""The six published samples: each is found, its defects are named, its replacement says the same."""

from __future__ import annotations

import pytest

from afilsql.api.methods import METHODS
from afilsql.legacy import Source, Verdict, scan
from tests.unit.legacy_samples import SAMPLES, defects_of, only_call, scanned, sql_of, text_of

REPLACEMENTS = {
    "getchatchannels": "EXEC afil.get_chat_channels;",
    "sendmessage": """EXEC afil.send_message
    @platform = 'whatsapp',
    @platformid = '100',
    @destination = '3460000000',
    @message = N'test message';""",
    "sendfile": """EXEC afil.send_file
    @platform = 'whatsapp',
    @platformid = '100',
    @destination = '3460000000',
    @type = 'image',
    @fileurl = N'https://www.example.com/image.jpg',
    @thumburl = N'https://www.example.com/thumb.jpg',
    @message = N'test message';""",
    "getchats": """EXEC afil.get_chats
    @platform = 'whatsapp',
    @platformid = '100';""",
    "getmessages": """EXEC afil.get_messages
    @platform = 'whatsapp',
    @platformid = '100',
    @destination = '34600000000';""",
    "getunreadmessages": """EXEC afil.get_unread_messages
    @platform = 'whatsapp',
    @platformid = '100',
    @destination = '34600000000';""",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_one_call_with_its_line_and_its_replacement(name: str) -> None:
    call = only_call(text_of(name))
    line = next(i for i, text in enumerate(text_of(name).splitlines(), 1) if "sp_OACreate" in text)
    assert (call.verdict, call.method, call.line, call.account) == (Verdict.REPLACED, name, line, "user")
    assert sql_of(call).partition("*/\n")[2] == REPLACEMENTS[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_defects_of_a_sample_are_those_it_has(name: str) -> None:
    found = defects_of(only_call(text_of(name)))
    expected = {"password-in-clear", "password-in-url", "url-truncated", "not-encoded", "answer-cut"}
    expected |= {"status-unread", "no-retry", "session-blocked"}
    if name != "getchatchannels":
        expected.add("does-not-parse")  # the only sample whose quotes are right
    if name in ("sendmessage", "sendfile"):
        expected.add("not-unicode")
    assert set(found) == expected


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_switches_ole_automation_on(name: str) -> None:
    [switch] = scanned(text_of(name)).switches
    assert (switch.name, switch.line) == ("ole-automation-on", 5)


def test_the_room_left_for_the_message_is_counted() -> None:
    text = text_of("sendmessage")
    url = (
        "https://www.afilnet.com/api/http/?+&class=chat&method=sendmessage&user=user&password=password"
        "&platform=whatsapp&platformid=100&destination=3460000000&message="
    )
    assert (
        f"takes {len(url)} characters, so {255 - len(url)} remain for the message"
        in (defects_of(only_call(text))["url-truncated"])
    )


def test_a_request_that_is_cut_already_says_how_much_is_lost_and_of_what() -> None:
    url = (
        "https://www.afilnet.com/api/http/?+&class=chat&method=sendfile&user=user&password=password"
        "&platform=whatsapp&platformid=100&destination=3460000000&type=image"
        "&fileurl=https://www.example.com/image.jpg&thumburl=https://www.example.com/thumb.jpg&message=test+message"
    )
    cut = defects_of(only_call(text_of("sendfile")))["url-truncated"]
    assert f"at least {len(url)} characters: the last {len(url) - 255}, in message, are cut" in cut


def test_a_plus_that_stood_for_a_space_is_said_and_decoded() -> None:
    notes = " ".join(only_call(text_of("sendmessage")).notes)
    assert "line 16 was encoded by hand ('+' stood for a space)" in notes


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.returns])
def test_a_question_says_where_its_answer_comes(name: str) -> None:
    notes = " ".join(only_call(text_of(name)).notes)
    assert "until now read on line" in notes
    assert "SELECT * FROM afil." in notes


def test_all_samples_in_one_file_without_go_are_six_calls() -> None:
    text = "".join(text_of(n).partition("'Ole Automation Procedures', 1;\nGO\nRECONFIGURE;\nGO\n")[2] for n in SAMPLES)
    report = scan([Source("all.sql", text)])[0]
    assert [c.method for c in report.calls] == list(SAMPLES)
    for call, name in zip(report.calls, SAMPLES, strict=True):
        assert sql_of(call).partition("*/\n")[2] == REPLACEMENTS[name]


def test_windows_line_ends_change_nothing() -> None:
    for name in SAMPLES:
        unix, windows = only_call(text_of(name)), only_call(text_of(name).replace("\n", "\r\n"))
        assert (unix.line, sql_of(unix), list(unix.defects)) == (windows.line, sql_of(windows), list(windows.defects))
