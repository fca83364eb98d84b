"""The lexer: nothing is lost, nothing raises, and what the published samples get wrong is understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afilsql.legacy.lexer import Fault, Kind, significant, tokens
from tests.unit.legacy_samples import FIXTURES, text_of

_QUOTES = ("'", "''", "N'", '"', "[", "]", "/*", "*/", "--", "\n", "\r\n", "GO", "GO 5", "@", "@@x", "@url", "&class='")
_WORDS = (
    "DECLARE ",
    "EXEC sp_OACreate ",
    "SET ",
    "(",
    ")",
    ";",
    " ",
    "+",
    "https://x/?",
    "0x1F",
    "1.5e3",
    "ñ",
    "😀",
    "\0",
)
PIECES = st.sampled_from(_QUOTES + _WORDS)


def kinds(text: str) -> list[tuple[Kind, str]]:
    return [(t.kind, t.value) for t in significant(tokens(text))]


@given(st.one_of(st.text(), st.lists(PIECES).map("".join)))
def test_the_tokens_joined_are_the_text_and_no_text_raises(text: str) -> None:
    found = tokens(text)
    assert "".join(t.text for t in found) == text
    assert all(t.text for t in found)


@given(st.lists(PIECES).map("".join))
def test_every_token_knows_its_line(text: str) -> None:
    before = ""
    for token in tokens(text):
        assert token.line == before.count("\n") + 1
        before += token.text


@given(st.text())
def test_a_quoted_text_comes_back_as_it_was(text: str) -> None:
    quoted = "N'" + text.replace("'", "''") + "'"
    assert kinds(quoted) == [(Kind.STRING, text)]


@pytest.mark.parametrize("name", FIXTURES)
def test_every_fixture_survives_the_round_trip(name: str) -> None:
    assert "".join(t.text for t in tokens(text_of(name))) == text_of(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/* a /* b */ c */ x", [(Kind.NAME, "x")]),
        ("-- 'a\nx", [(Kind.NAME, "x")]),
        ("/* never closed 'x", []),
        ("'it''s'", [(Kind.STRING, "it's")]),
        ("n'ñ'", [(Kind.STRING, "ñ")]),
        ("[a]]'b]", [(Kind.QUOTED, "a]'b")]),
        ('"a""b"', [(Kind.QUOTED, 'a"b')]),
        ("@a+=@@b", [(Kind.VARIABLE, "@a"), (Kind.OPERATOR, "+="), (Kind.VARIABLE, "@@b")]),
        ("0xFF 1.5e-3 .5", [(Kind.NUMBER, "0xFF"), (Kind.NUMBER, "1.5e-3"), (Kind.NUMBER, ".5")]),
        (
            "a\n  go 5 ; -- twice\ngo_on",
            [(Kind.NAME, "a"), (Kind.GO, "go 5"), (Kind.OPERATOR, ";"), (Kind.NAME, "go_on")],
        ),
        ("a go", [(Kind.NAME, "a"), (Kind.NAME, "go")]),
        ("'a\nGO\nb'", [(Kind.STRING, "a\nGO\nb")]),
    ],
)
def test_t_sql_is_split_as_t_sql(text: str, expected: list[tuple[Kind, str]]) -> None:
    assert kinds(text) == expected


def test_a_forgotten_opening_quote_is_read_as_if_it_were_there() -> None:
    found = significant(tokens("'https://x/?+'&class='+@class+'&method='+@m;"))
    assert [t.value for t in found] == ["https://x/?+", "&class=", "+", "@class", "+", "&method=", "+", "@m", ";"]
    assert [t.fault for t in found if t.fault] == [Fault.OPENING]


def test_bitwise_and_of_a_column_is_left_what_it_is() -> None:
    assert not any(t.fault for t in tokens("SELECT 1 WHERE '1'&flag='1' OR x & y = 'z'"))


def test_a_forgotten_closing_quote_ends_at_its_line() -> None:
    found = significant(tokens("SET @a = 'abc\nDECLARE @b int\nEXEC p 'x'\nEXEC q 'y'"))
    assert [(t.value, t.fault) for t in found if t.kind is Kind.STRING] == [
        ("abc", Fault.CLOSING),
        ("x", None),
        ("y", None),
    ]


def test_dynamic_sql_over_several_lines_stays_one_literal() -> None:
    text = "EXEC ('\nDECLARE @x int\nEXEC p ''a''\n')\nEXEC q 'b'"
    assert [t.value for t in tokens(text) if t.kind is Kind.STRING] == ["\nDECLARE @x int\nEXEC p 'a'\n", "b"]
