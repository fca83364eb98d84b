"""A password is never printed: not as text, not as JSON, not in the EXEC, however the code carries it."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from afilsql.legacy import Source, scan
from afilsql.legacy.report import as_text, as_values
from tests.unit.legacy_samples import FIXTURES, PLANTED, SAMPLES, defects_of, only_call, text_of, wrap

SECRET = "S3cr3t-pl@nted"
URL = "https://www.afilnet.com/api/http/?class=chat&method=sendmessage&user=u"
REST = "&platform=whatsapp&platformid=1&destination=3&message=hi"
BARE = "https://www.afilnet.com/api/http/?class=chat&method=getchats&platform=whatsapp&platformid=1"


def printed(text: str) -> str:
    reports = scan([Source("it.sql", text)])
    return as_text(reports) + json.dumps(as_values(reports), ensure_ascii=False)


URL_IS = "DECLARE @url varchar(999) = "
CARRIERS = {
    "a variable": f"DECLARE @password varchar(99) = '{SECRET}';\n{URL_IS}'{URL}&password=' + @password + '{REST}';",
    "another variable": f"DECLARE @x varchar(99) = '{SECRET}';\n{URL_IS}'{URL}&password=' + @x + '{REST}';",
    "the url": f"{URL_IS}'{URL}&password={SECRET}{REST}';",
    "the url, encoded": f"{URL_IS}'{URL}&password={quote_plus(SECRET)}{REST}';",
    "pieces": f"{URL_IS}'{URL}&password={SECRET[:7]}' + '{SECRET[7:]}' + '{REST}';",
    "a template": f"{URL_IS}REPLACE('{URL}&password=##{REST}', '##', '{SECRET}');",
    "the message too": f"{URL_IS}'{URL}&password={SECRET}{REST} {SECRET}';",
    "an expression": f"{URL_IS}'{URL}&password={SECRET}{REST}' + LTRIM('x{SECRET}') + @y;",
    "a case": f"{URL_IS}'{URL}' + CASE @t WHEN 1 THEN '&password={SECRET}' END + '{REST}';",
    "a broken literal": f"{URL_IS}'{URL}+'&password='+'{SECRET}'+'{REST}';",
    "an unclosed literal": f"DECLARE @pwd varchar(99) = '{SECRET};\n{URL_IS}'{URL}&password=' + @pwd + '{REST}';",
    "a name behind it": f"{URL_IS}'{URL}&password=x&{SECRET}=1{REST}';",
    "the user too": f"{URL_IS}'{URL.replace('user=u', f'user={SECRET}')}&password={SECRET}{REST}';",
    "double quotes": f'{URL_IS}"{URL}&password={SECRET}{REST}";',
    "another host": f"{URL_IS}'https://u:{SECRET}@example.com/?password={SECRET}';",
    "dynamic sql": f"EXEC ('EXEC sp_OACreate ''WinHttp'', @w OUT -- {SECRET} ');\nDECLARE @url varchar(99);",
    "a comment": f"/* password {SECRET} */ {URL_IS}'{URL}{REST}'; -- {SECRET}",
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_planted_password_never_appears(carrier: str) -> None:
    out = printed(wrap(CARRIERS[carrier]))
    assert "sp_OA" in out or "WinHttp" in out
    for piece in (SECRET, quote_plus(SECRET), SECRET[:7], SECRET[7:]):
        assert piece not in out


@pytest.mark.parametrize(
    "call",
    [
        f"'Open', NULL, 'GET', '{BARE}', 'false', 'u', '{SECRET}';",
        f"'Open', NULL, 'GET', '{BARE}', 'false';\nEXEC sp_OAMethod @win, 'SetCredentials', NULL, 'u', '{SECRET}', 0;",
        f"'Open', NULL, 'GET', '{BARE}', 'false';\n"
        f"EXEC sp_OAMethod @win, 'setRequestHeader', NULL, 'Authorization', 'Basic {SECRET}';",
    ],
)
def test_credentials_beside_the_url_are_found_and_not_shown(call: str) -> None:
    text = wrap("").replace("'Open', NULL, 'GET', @url, 'false';", call)
    assert "password-in-clear" in defects_of(only_call(text))
    assert SECRET not in printed(text)


@pytest.mark.parametrize(
    "call",
    [
        f"'Open', NULL, 'GET', '{BARE}', 'false', 'u', @secret;",
        f"'Open', NULL, 'GET', '{BARE}', 'false';\nEXEC sp_OAMethod @win, 'SetCredentials', NULL, 'u', @secret, 0;",
        f"'Open', NULL, 'GET', '{BARE}', 'false';\nDECLARE @basic varchar(99) = 'Basic ' + @secret;\n"
        "EXEC sp_OAMethod @win, 'setRequestHeader', NULL, 'Authorization', @basic;",
    ],
)
def test_credentials_that_come_from_elsewhere_are_not_in_clear(call: str) -> None:
    text = "DECLARE @secret varchar(99) = dbo.vault();\n" + wrap("").replace(
        "'Open', NULL, 'GET', @url, 'false';", call
    )
    assert "password-in-clear" not in defects_of(only_call(text))


@pytest.mark.parametrize("name", [f for f in FIXTURES if PLANTED in text_of(f)])
def test_the_passwords_of_the_fixtures_never_appear(name: str) -> None:
    assert PLANTED not in printed(text_of(name))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_real_password_put_into_a_sample_never_appears(name: str) -> None:
    text = text_of(name).replace("= 'password'", f"= '{SECRET}'")
    assert SECRET in text
    assert SECRET not in printed(text)


def test_a_message_that_holds_the_password_is_left_to_a_person() -> None:
    call = only_call(wrap(CARRIERS["the message too"]))
    assert call.replacement is not None
    assert call.replacement.fill_in == ["message"]
    assert "N'hi ***' /* FILL IN" in call.replacement.sql


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FIXTURES), st.data())
def test_damaged_code_neither_raises_nor_shows_its_password(name: str, data: st.DataObject) -> None:
    text = text_of(name).replace("= 'password'", f"= '{PLANTED}-secret'")
    start = data.draw(st.integers(0, len(text) - 1))
    end = min(len(text), start + data.draw(st.integers(1, 30)))
    damaged = (
        text[:start]
        + data.draw(st.sampled_from(["", "'", "''", "(", ")", "\n", "GO\n", "/*", "@", "&x='"]))
        + text[end:]
    )
    # Damage to the word "password" itself leaves nothing by which anybody could tell what the value is.
    assume(damaged.count("password") == text.count("password"))
    assert PLANTED not in printed(damaged)


def test_the_fixtures_lie_where_the_tests_look() -> None:
    assert len(FIXTURES) == len(SAMPLES) + 11
    assert all((Path(__file__).parents[1] / "data" / "legacy" / f"{n}.sql").is_file() for n in FIXTURES)
