"""afil.json_text and afil.json_unescape: a JSON string of OPENJSON becomes the text it stands for, on every engine."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.tsql

#: Any text but NUL and half surrogate pairs, which neither JSON nor a database column holds.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_every_text_comes_out_of_json_as_it_went_in(query: Any, texts: list[str]) -> None:
    sql = "SELECT t.text FROM OPENJSON(?) AS j CROSS APPLY afil.json_text(j.value) AS t ORDER BY CAST(j.[key] AS INT)"
    for ensure_ascii in (False, True):
        assert [row.text for row in query(sql, json.dumps(texts, ensure_ascii=ensure_ascii))] == texts


def test_a_null_stays_null(query: Any) -> None:
    assert query("SELECT text FROM afil.json_text(NULL)")[0].text is None


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        (r"a \"quoted\" word", 'a "quoted" word'),
        (r"back\\slash", "back\\slash"),
        (r"C:\\new\\table", "C:\\new\\table"),
        (r"\\u0041", "\\u0041"),
        (r"line\none\ttab\r", "line\none\ttab\r"),
        (r"\u0001\u001f\b\f\/", "\x01\x1f\b\f/"),
        ("nothing to do", "nothing to do"),
    ],
)
def test_the_escapes_of_json_are_taken_out_once(query: Any, escaped: str, plain: str) -> None:
    assert query("SELECT afil.json_unescape(?)", escaped)[0][0] == plain
