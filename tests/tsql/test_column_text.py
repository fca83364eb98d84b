"""afil.column_text: a column as text, for every type and format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.tsql

COLUMNS = {
    "c_int": ("int", "-1234567"),
    "c_bigint": ("bigint", "9007199254740993"),
    "c_dec": ("decimal(12, 2)", "1234567.5"),
    "c_money": ("money", "1234.5"),
    "c_char": ("nchar(5)", "N'ab'"),
    "c_text": ("nvarchar(20)", "N'it''s ☕'"),
    "c_bit": ("bit", "1"),
    "c_guid": ("uniqueidentifier", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'"),
    "c_bin": ("varbinary(8)", "0x0AFF"),
    "c_date": ("date", "'2026-03-09'"),
    "c_time": ("time(3)", "'07:08:09.123'"),
    "c_dt": ("datetime2(3)", "'2026-03-09 07:08:09.123'"),
    "c_old": ("datetime", "'2026-03-09 07:08:09'"),
}


@pytest.fixture(scope="module")
def kinds(session: Any) -> Iterator[None]:
    cursor = session.cursor()
    cursor.execute("DROP TABLE IF EXISTS dbo.kinds")
    cursor.execute(
        f"CREATE TABLE dbo.kinds ({', '.join(f'{c} {t} NULL' for c, (t, _) in COLUMNS.items())}, c_geo image)"
    )
    cursor.execute(f"INSERT INTO dbo.kinds ({', '.join(COLUMNS)}) VALUES ({', '.join(v for _, v in COLUMNS.values())})")
    cursor.execute("INSERT INTO dbo.kinds (c_int) VALUES (NULL)")
    yield
    cursor.execute("DROP TABLE dbo.kinds")


def expression(query: Any, column: str, format: str | None = None) -> str:
    return str(query("SELECT afil.column_text(OBJECT_ID(N'dbo.kinds'), ?, N'new', ?)", column, format)[0][0])


@pytest.mark.parametrize(
    ("column", "format", "text"),
    [
        ("c_int", None, "-1234567"),
        ("c_int", "0.00", "-1234567.00"),
        ("c_int", "#,##0", "-1,234,567"),
        ("c_bigint", None, "9007199254740993"),
        ("c_dec", None, "1234567.50"),
        ("c_dec", "0", "1234568"),
        ("c_dec", "0.0", "1234567.5"),
        ("c_dec", "0.000000000", "1234567.500000000"),
        ("c_dec", "#,##0.00", "1,234,567.50"),
        ("c_money", "0.00", "1234.50"),
        ("c_char", None, "ab"),
        ("c_text", None, "it's ☕"),
        ("c_bit", None, "1"),
        ("c_guid", None, "6F9619FF-8B86-D011-B42D-00C04FC964FF"),
        ("c_bin", None, "0x0AFF"),
        ("c_date", None, "2026-03-09"),
        ("c_date", "dd/MM/yy", "09/03/26"),
        ("c_time", None, "07:08:09"),
        ("c_time", "HH.mm", "07.08"),
        ("c_dt", None, "2026-03-09 07:08:09"),
        ("c_dt", "dd/MM/yyyy HH:mm:ss.fff", "09/03/2026 07:08:09.123"),
        ("c_dt", "yyyy''MM", "2026''03"),
        ("c_old", "HH:mm, dd-MM-yyyy", "07:08, 09-03-2026"),
    ],
)
def test_a_value_is_written_as_its_format_says(
    kinds: None, query: Any, babelfish: bool, column: str, format: str | None, text: str
) -> None:
    if babelfish and column == "c_bin":
        pytest.skip("Babelfish ignores the style of CONVERT from varbinary")
    rows = query(f"SELECT {expression(query, column, format)} FROM dbo.kinds AS new")
    assert {r[0] for r in rows} == {text, None}


@pytest.mark.parametrize(
    ("column", "format", "fault"),
    [
        ("nope", None, "!'nope' is not a column of the table; its columns are c_int, "),
        ("c_geo", None, "!'c_geo' is of type image, which a trigger cannot read as text"),
        ("c_text", "0.00", "!'c_text' is of type nvarchar, which takes no format: leave out :0.00"),
        ("c_dec", "0,00", "!the format '0,00' is not one of 0, 0.00, #,##0, #,##0.00"),
        ("c_dec", "0." + "0" * 10, "!the format '0.0000000000' is not one of"),
        ("c_dec", "0); DROP TABLE dbo.kinds; --", "!the format '0); DROP TABLE"),
        ("c_dt", "Dd", "!the format 'Dd' is not one of yyyy, yy, MM, dd, HH, mm, ss, fff and punctuation"),
        ("c_dt", "", "!'c_dt' has a : and no format behind it"),
        ("c_int", "", "!the format '' is not one of"),
    ],
)
def test_what_cannot_be_written_is_named(kinds: None, query: Any, column: str, format: str | None, fault: str) -> None:
    assert expression(query, column, format).startswith(fault)
