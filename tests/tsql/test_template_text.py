"""afil.template_text: a template becomes an expression in which its text is inert."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.tsql

ROW = "(SELECT 7 AS id, N'Ana' AS name, CAST(NULL AS nvarchar(9)) AS none, N'odd' AS [a {b}: c])"


@pytest.fixture(scope="module")
def people(session: Any) -> Iterator[None]:
    cursor = session.cursor()
    cursor.execute("DROP TABLE IF EXISTS dbo.people")
    cursor.execute(
        "CREATE TABLE dbo.people (id int NOT NULL, name nvarchar(20), none nvarchar(9), [a {b}: c] nvarchar(9))"
    )
    yield
    cursor.execute("DROP TABLE dbo.people")


def expression(query: Any, template: str, parameter: str = "@message") -> str:
    return str(query("SELECT afil.template_text(OBJECT_ID(N'dbo.people'), ?, ?)", parameter, template)[0][0])


def filled(query: Any, template: str, parameter: str = "@message") -> str:
    text = expression(query, template, parameter)
    assert text[0] in "=<", text
    # As the trigger is created: alone in a batch, without a parameter of the client's.
    return str(query(f"SELECT {text[1:]} FROM {ROW} AS new CROSS JOIN {ROW} AS old")[0][0])


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("  ", "  "),
        ("{id} {name}", "7 Ana"),
        (" {id}  {name} ", " 7  Ana "),
        ("{ID}{ new.Name }", "7Ana"),
        ("{old.name}->{new.name}", "Ana->Ana"),
        ("[{none}]", "[]"),
        ("{{id}}", "{id}"),
        ("{{{id}}}", "{7}"),
        ("}}  ", "}  "),
        ("{{   ", "{   "),
        ("{[a {b}: c]}", "odd"),
        ("{id:0.00} it's '{name}'", "7.00 it's 'Ana'"),
        ("name", "name"),
        ("＇ ｛id｝ '\u0301 \u0001\u0001", "＇ ｛id｝ '\u0301 \u0001\u0001"),
        ("line 1\r\nline 2 😀 {name}", "line 1\r\nline 2 😀 Ana"),
    ],
)
def test_a_template_is_filled(people: None, query: Any, template: str, text: str) -> None:
    assert filled(query, template) == text


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{", "!@message has a { without a column's name and a }"),
        ("{}", "!@message has a { without a column's name and a }"),
        ("{name", "!@message has a { without a column's name and a }"),
        ("{[name}", "!@message has a { without a column's name and a }"),
        ("name}", "!@message has a } that closes nothing"),
        ("{nope}", "!@message: 'nope' is not a column of the table; its columns are id, name, none, a {b}: c"),
        ("{[name]x}", "!@message: 'x' stands behind the name 'name'"),
        ("{name:0}", "!@message: 'name' is of type nvarchar, which takes no format: leave out :0"),
        ("{id:}", "!@message: the format '' is not one of"),
        ("{(SELECT 1)}", "!@message: '(SELECT 1)' is not a column"),
        ("{id + 1}", "!@message: 'id + 1' is not a column"),
        ("{deleted.id}", "!@message: 'deleted.id' is not a column"),
        ("{[x]]; DROP TABLE dbo.people; --]}", "!@message: 'x]; DROP TABLE dbo.people; --' is not a column"),
    ],
)
def test_a_fault_names_what_is_wrong(people: None, query: Any, template: str, fault: str) -> None:
    assert expression(query, template).startswith(fault)


TEXT = st.text(
    st.one_of(
        st.sampled_from("'';-/*{}[]:.  abin0\n＇｛｝［］\u0301\u0001\u200d"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXT)
def test_any_text_without_braces_stays_itself(people: None, query: Any, text: str) -> None:
    text = text.replace("{", "").replace("}", "")
    assert filled(query, text) == text
    assert filled(query, text.join(("{id}", "{name}"))) == f"7{text}Ana"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXT)
def test_any_text_with_doubled_braces_stays_itself(people: None, query: Any, text: str) -> None:
    assert filled(query, text.replace("{", "{{").replace("}", "}}")) == text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(
        st.one_of(TEXT, st.sampled_from(["{id}", "{[name]}", "{", "{{", "}", "{old.", ":0}", "]]"])), max_size=8
    )
)
def test_any_template_is_a_fault_or_an_expression_that_runs(people: None, query: Any, parts: list[str]) -> None:
    if expression(query, "".join(parts))[0] != "!":
        filled(query, "".join(parts))
