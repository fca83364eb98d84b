"""afil.condition_text: conditions are read word by word; what is let in cannot fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.tsql

COLUMNS = (
    "id int, state nvarchar(40), total decimal(12, 2), at datetime2(3), day date, old_at datetime, hour time, "
    "price smallmoney, "
    "guid uniqueidentifier, paid bit, raw varbinary(9), [and] int, [odd = x] int"
)
ROW = (
    "(SELECT 7, N'it''s', 12.5, CAST('2026-03-09 07:08:09' AS datetime2(3)), CAST('0001-01-01' AS date), "
    "CAST('2026-01-01' AS datetime), CAST('10:00' AS time), CAST(5 AS smallmoney), "
    "CAST('6F9619FF-8B86-D011-B42D-00C04FC964FF' AS uniqueidentifier), CAST(1 AS bit), CAST(NULL AS varbinary(9)), "
    "1, 2)"
)
NAMES = "(id, state, total, at, day, old_at, hour, price, guid, paid, raw, [and], [odd = x])"


@pytest.fixture(scope="module")
def facts(session: Any) -> Iterator[None]:
    cursor = session.cursor()
    cursor.execute("DROP TABLE IF EXISTS dbo.facts")
    cursor.execute(f"CREATE TABLE dbo.facts ({COLUMNS})")
    yield
    cursor.execute("DROP TABLE dbo.facts")


def condition(query: Any, text: str) -> str:
    return str(query("SELECT afil.condition_text(OBJECT_ID(N'dbo.facts'), ?)", text)[0][0])


def holds(query: Any, text: str) -> bool:
    sql = condition(query, text)
    assert sql[0] in "=<", sql
    return bool(
        query(f"SELECT COUNT(*) FROM {ROW} AS new {NAMES} CROSS JOIN {ROW} AS old {NAMES} WHERE ({sql[1:]})")[0][0]
    )


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("id = 7", True),
        ("new.id=7 and old.ID<>8", True),
        ("id != 7", False),
        ("total > -1 AND total <= 12.50", True),
        ("state = 'it''s'", True),
        ("state = N'it''s' OR nope = 1", None),
        ("state LIKE 'it%' AND state NOT LIKE '%x'", True),
        ("state IN ('a', N'it''s')", True),
        ("state NOT IN ('a', 'b')", True),
        ("id BETWEEN 1 AND 7 AND NOT id = 8", True),
        ("id NOT BETWEEN 1 AND 7", False),
        ("(id = 1 OR (id = 7)) AND paid = 1", True),
        ("raw IS NULL AND state IS NOT NULL", True),
        ("at >= '2026-03-09 07:08' AND day < '2026-01-01'", True),
        ("day < old_at", True),
        ("hour = '10:00'", True),
        ("price < 300000 AND price < total", True),
        ("guid = '6F9619FF-8B86-D011-B42D-00C04FC964FF'", True),
        ('[and] = 1 AND "odd = x" = 2 AND new.[odd = x] = 2', True),
        ("new.total = old.total", True),
        ("state = 'x'' OR 1 = 1 --'", False),
        ("state = '＇ OR 1 = 1'", False),
        ("state = '\u0001\u0001'", False),
        ("\tid\r\n= 7 ", True),
    ],
)
def test_a_condition_means_what_it_says(facts: None, query: Any, text: str, true: bool | None) -> None:
    if true is None:
        assert condition(query, text).startswith("!@when: 'nope' is not a column")
    else:
        assert holds(query, text) is true


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "@when ends too early"),
        ("id", "@when ends too early"),
        ("id =", "@when ends too early"),
        ("(id = 1", "@when ends too early"),
        ("id = 1)", "@when: ) is not expected there"),
        ("id = 1; DROP TABLE dbo.facts", "@when: ';' is not allowed"),
        ("id = 1 -- x", "@when: '-' is not allowed"),
        ("id = 1 /* x */", "@when: '/' is not allowed"),
        ("id = 1 + 1", "@when: '+' is not allowed"),
        ("id = (SELECT 1)", "@when: ( is not expected there"),
        ("EXISTS (SELECT 1)", "@when: 'EXISTS' is not a column of the table"),
        ("id IN (SELECT 1)", "@when: 'SELECT' is not a column of the table"),
        ("LEN(state) = 1", "@when: 'LEN' is not a column of the table"),
        ("@x = 1", "@when: '@' is not allowed"),
        ("1 = 1 OR SUSER_SNAME() = 'sa'", "@when: 'SUSER_SNAME' is not a column"),
        ("dbo.id = 1", "@when: 'dbo.id' is neither new.column nor old.column"),
        ("[new;].id = 1", "@when: 'new;.id' is neither new.column nor old.column"),
        ("state = 'x", "@when has a text without its closing quote"),
        ("[id = 1", "@when has a name without its closing bracket"),
        ("id = 'x'", "@when: N'x' is of another kind than what it is compared with (number)"),
        ("state = 5", "@when: 5 is of another kind than what it is compared with (text)"),
        ("at = 'soon'", "@when: N'soon' is of another kind than what it is compared with (date)"),
        ("id = state", "@when: new.[state] is of another kind than what it is compared with (number)"),
        ("raw = 1", "@when: = is not expected there"),
        ("id = 1.2.3", "@when: '1.2.3' is not a number"),
        ("id LIKE '1'", "@when: LIKE is not expected there"),
        ("id = NULL", "@when: NULL is not expected there"),
        ("（id = 1)", "@when: '（id' is not a column of the table"),
        ("id ＝ 1", "@when: '＝' is not a column of the table"),
    ],
)
def test_a_fault_names_what_is_wrong(facts: None, query: Any, text: str, fault: str) -> None:
    assert condition(query, text).startswith("!" + fault)


WORDS = st.sampled_from(
    [
        "id", "new.id", "old.state", "state", "[and]", "total", "=", "<>", "<", "(", ")", ",", "AND", "OR", "NOT", "IS",
        "NULL", "IN", "LIKE", "BETWEEN", "5", "-1.5", "'x'", "''''", "N'a''b'", "'", ";", "--", "/*", "*/", "SELECT",
        "DROP TABLE dbo.facts", "]", "[", '"', "new.", ".", "＇", "'\u0301", "\u0001", "1=1", "day",
        "'2026-01-01'", "@x", "x(",
    ]
)  # fmt: skip
SOUND = st.recursive(
    st.sampled_from(
        ["id = 7", "old.state LIKE 'x''%'", "day < '2026-01-01'", "price > 1", "raw IS NULL", "id IN (1, 2)"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" AND ", " or "]), inner).map("".join),
        inner.map(lambda c: f"NOT ({c})"),
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.one_of(WORDS, st.text(max_size=3).filter(lambda t: "\0" not in t)), max_size=12),
    gap=st.sampled_from(["", " "]),
)
def test_any_words_are_a_fault_or_a_condition_that_runs(facts: None, query: Any, words: list[str], gap: str) -> None:
    text = gap.join(words)
    if condition(query, text)[0] != "!":
        holds(query, text)
    assert query("SELECT OBJECT_ID(N'dbo.facts')")[0][0]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=SOUND)
def test_any_sound_condition_is_let_in_and_runs(facts: None, query: Any, text: str) -> None:
    holds(query, text)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(
        st.one_of(
            st.sampled_from("'';-/*[]＇\u0301\u0001 x"),
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        ),
        max_size=40,
    )
)
def test_any_text_in_quotes_stays_that_text(facts: None, query: Any, text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    sql = condition(query, f"state = {quoted}")
    assert sql.startswith("=new.[state] = N'")
    assert query(f"SELECT {sql.removeprefix('=new.[state] = ')}")[0][0] == text
