"""Text from outside reaches logs, terminals and standard error without its tricks."""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from afilsql import logs, plain
from afilsql.cli.context import note
from afilsql.delivery import events
from afilsql.display import items_table, print_json, rows_table, status_tables
from afilsql.errors import DatabaseError
from afilsql.outbox.engine import translate
from afilsql.outbox.records import QueueStatus

NASTY = "\x1b[31m\x1b]0;title\x07\r\n\x00\x9b2J\u202e\u2066\u2028\ud800\udfffñ✓\\n"
#: Any text, lone surrogates too, with what can steer a terminal more often than chance would bring it.
anything = st.lists(
    st.one_of(st.sampled_from([*NASTY, "\n{", "level=error"]), st.text(st.characters(), max_size=5)), max_size=12
).map("".join)


def logged(write: Callable[[logs.Logger], object], format: logs.LogFormat) -> str:
    stream = io.StringIO()
    with logs.logging_to(stream, level="debug", format=format) as logger:
        write(logger)
    return stream.getvalue()


def delivered(text: str) -> events.Delivered:
    return events.Delivered(1, text, text, 1, "failed", text, text, 5)


@given(anything)
def test_escaped_text_prints_and_stands_on_one_line(text: str) -> None:
    assert plain.escaped(text).isprintable()
    assert plain.escaped(plain.escaped(text)) == plain.escaped(text)


@given(anything)
def test_json_keeps_its_meaning_when_made_printable(text: str) -> None:
    document = plain.json_escaped(json.dumps({text: [text]}, ensure_ascii=False, indent=1))
    assert document.replace("\n", "").isprintable()
    # Two halves that meet become one character, as in any JSON.
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert json.loads(document) == {whole: [whole]}


@given(anything)
def test_only_what_looks_like_a_code_is_shown_as_one(text: str) -> None:
    assert plain.code(text) == plain.NO_CODE or re.fullmatch(r"[A-Z][A-Z0-9_]*|[0-9]{1,3}", text)


@pytest.mark.parametrize("text", ["CHAT_NOT_FOUND", "HTTP_503", "17", "NOT_SENT"])
def test_a_code_is_shown_as_it_is(text: str) -> None:
    assert plain.code(text) == text


@pytest.mark.parametrize("text", ["", "your order", "Order", "34600000000", "ORDER\n", "A" * 65])
def test_what_may_be_a_message_or_a_number_is_not_shown_as_a_code(text: str) -> None:
    assert plain.code(text) == plain.NO_CODE


@given(anything)
@pytest.mark.parametrize("format", ["json", "console"])
def test_an_event_is_one_printable_line_whatever_it_holds(format: logs.LogFormat, text: str) -> None:
    every = [
        delivered(text),
        events.AccountHeld(text, text, text),
        events.DatabaseLost(text),
        events.ResultRefused(1, text),
        events.BreakerOpened(text, 1, 2, 3.0),
    ]

    def write(logger: logs.Logger) -> None:
        for event in every:
            logs.log_event(logger, event)

    lines = logged(write, format).split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(every)
    assert all(line.isprintable() for line in lines)
    if format == "json":
        assert [json.loads(line)["level"] for line in lines] == ["warning", "error", "error", "error", "warning"]
        assert json.loads(lines[2])["detail"].isprintable()


@given(anything)
@pytest.mark.parametrize("format", ["json", "console"])
def test_keys_and_nested_values_are_as_harmless(format: logs.LogFormat, text: str) -> None:
    def write(logger: logs.Logger) -> None:
        logger.info(text, **{"k" + text: {text: [text, (text,)]}, "o": ValueError(text)})

    (line, rest) = logged(write, format).split("\n")
    assert line.isprintable()
    assert rest == ""


def test_a_code_that_may_be_the_message_takes_the_detail_along() -> None:
    line = logged(lambda logger: logs.log_event(logger, delivered("Your order left")), "json")
    said = json.loads(line)
    assert said["code"] == plain.NO_CODE
    assert "order" not in said["detail"]


def test_a_coloured_line_holds_no_escape_of_anybody_else(capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with logs.logging_to(stream) as logger:
        logger.warning("asked", who=NASTY)
    assert "\x1b[" in stream.getvalue(), "it has colours of its own"
    assert re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).rstrip("\n").isprintable()
    assert r"\x1b[31m\x1b]0;title\x07" in stream.getvalue()


def test_a_librarys_warning_goes_into_the_log_without_what_was_put_into_it() -> None:
    def write(_logger: logs.Logger) -> None:
        logging.getLogger("urllib3.connectionpool").warning("Connection to %s broke", "secret.example")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("secret.example", stacklevel=1)

    lines = [json.loads(line) for line in logged(write, "json").splitlines()]
    assert [(x["library"], x["level"]) for x in lines] == [
        ("urllib3.connectionpool", "warning"),
        ("py.warnings", "warning"),
    ]
    assert lines[0]["pattern"] == "Connection to %s broke"
    assert "secret" not in str(lines)


def test_a_defect_is_logged_by_its_place_and_not_by_its_text() -> None:
    def write(logger: logs.Logger) -> None:
        try:
            raise RuntimeError("the message of somebody")
        except RuntimeError as error:
            logs.log_failure(logger, error)

    said = json.loads(logged(write, "json"))
    assert said["error"] == "RuntimeError"
    assert said["frames"][-1].startswith("test_plain.py:")
    assert "somebody" not in str(said)


@given(text=anything)
def test_a_table_shows_no_control_character(text: str) -> None:
    status = QueueStatus({"queued": 1}, 2.0, ((text, text),), ((text, 1.0),))
    row: dict[str, Any] = dict.fromkeys(("platform", "platformid", "name"), text)
    console = Console(file=io.StringIO(), width=200, color_system=None)
    for table in (*status_tables(status), rows_table("channels", [row]), items_table([])):
        console.print(table)
    assert console.file.getvalue().replace("\n", "").isprintable()  # type: ignore[attr-defined]


def test_json_on_the_terminal_holds_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"message": NASTY})
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert json.loads(out)["message"].encode("utf-16", "surrogatepass") == NASTY.encode("utf-16", "surrogatepass")


def test_a_note_holds_no_control_character_and_forges_no_second_note(capsys: pytest.CaptureFixture[str]) -> None:
    note(f"{NASTY}\nafilsql: all is well")
    err = capsys.readouterr().err
    assert err.replace("\n", "").isprintable()
    assert [line for line in err.splitlines() if line.startswith("afilsql:")] == [err.splitlines()[0]]


@pytest.mark.parametrize(
    "text",
    [
        "String or binary data would be truncated in table 'chat.afil.attempt', column 'detail'. "
        "Truncated value: 'Your order's left'. (2628) (SQLExecDirectW)",
        "Violation of UNIQUE KEY constraint 'uq'. Cannot insert duplicate key in object 'afil.outbox'. "
        "The duplicate key value is (shop, Your order). (2627) (SQLExecDirectW)",
        "Conversion failed when converting the nvarchar value 'Your order' to data type int. (245) (SQLExecDirectW)",
        'invalid input syntax for type integer: "Your order" (33557097) (SQLExecDirectW)',
    ],
)
def test_an_error_of_the_database_tells_no_value_of_a_row(text: str) -> None:
    told = str(translate(Exception("42000", f"[42000] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]{text}")))
    assert "order" not in told
    assert told.endswith("…")


def test_an_error_of_the_database_layer_tells_no_parameter(tmp_path: Any) -> None:
    import sqlalchemy as sa

    from afilsql.outbox.engine import create_engine, translated

    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    bad = sa.select(sa.literal("Your order", sa.Integer().with_variant(sa.DateTime(), "sqlite")))
    with pytest.raises(DatabaseError) as caught, translated(), engine.connect() as connection:
        connection.execute(bad)
    assert "order" not in str(caught.value)
