"""Properties of what is decided and read, over random input: the policy, settings, imports, legacy code."""

from __future__ import annotations

import string
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from afilsql import errors
from afilsql.api.reply import Reply
from afilsql.config import Settings, load_settings
from afilsql.delivery import policy
from afilsql.errors import ConfigError, InvalidParameter
from afilsql.importer import COLUMNS, BadLine, GoodLine, parse_time, read_csv
from afilsql.legacy import report, scan
from afilsql.legacy.source import Source

OUTCOMES = st.one_of(
    st.just(Reply("sendmessage", 200, (), "")),
    st.builds(
        lambda kind, after: kind("x", code="C", retry_after=after),
        st.sampled_from([errors.NotSent, errors.Refused, errors.CredentialsRefused, errors.DeliveryUnknown]),
        st.none() | st.floats(allow_nan=False),
    ),
    st.sampled_from([ConfigError("x"), InvalidParameter("x"), ValueError("x"), MemoryError(), errors.AfilsqlError()]),
)


@given(OUTCOMES, st.booleans(), st.integers(), st.integers(), st.sampled_from(["hold", "retry"]),
       st.floats(0, 1, exclude_max=True))  # fmt: skip
def test_every_outcome_meets_a_decision_that_keeps_the_promises(
    outcome: Reply | Exception, is_send: bool, attempt: int, max_attempts: int, on_unknown: str, chance: float
) -> None:
    made = policy.decide(
        outcome,
        is_send=is_send,
        attempt=attempt,
        max_attempts=max_attempts,
        on_unknown=on_unknown,
        random=lambda: chance,
    )
    if isinstance(made, policy.Retry):
        assert attempt < max_attempts, "tries are bounded"
        assert 0 <= made.after <= policy.RETRY_AFTER_MAX_SECONDS
        # Under hold nothing is repeated that may have been sent.
        assert not is_send or on_unknown == "retry" or isinstance(outcome, errors.NotSent)
    assert isinstance(made, policy.Sent) is isinstance(outcome, Reply)
    assert (policy.code_of(outcome) is None) is isinstance(outcome, Reply)
    assert "\n" not in (policy.detail_of(outcome) or "")


PLANTED = "planted-secret"
#: The path of a file is no secret, and an error names it.
FIELDS = [name for name in Settings.model_fields if not name.endswith("_file")]
TOML = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.builds(
            lambda name, value: f"{name} = {value}",
            st.sampled_from([*FIELDS, "accounts.a.user", "accounts.a.password", "passwort", "x.y"]),
            st.sampled_from([f'"{PLANTED}"', f"'{PLANTED}", f"{PLANTED}", f'["{PLANTED}"]', f'{{a="{PLANTED}"}}', "-1",
                             "1e400", "nan", "true", '""', "1979-05-27", f'"mssql+pyodbc://u:{PLANTED}@h/d"']),
        ),
        max_size=4,
    ).map("\n".join),
)  # fmt: skip
ENVIRON = st.dictionaries(
    st.sampled_from([f"AFILSQL_{name.upper()}" for name in FIELDS]),
    st.sampled_from([PLANTED, f'{{"a": "{PLANTED}"}}',
                     f'{{"a": {{"user": "x", "password": "{PLANTED}", "p": 1}}}}', "[",
                     "[" * 99_999, "1" * 5000, "-1", "nan", "inf", "x://[",
                     f"https://u:{PLANTED}@[", "1e400", "\udcff"]),
    max_size=4,
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TOML, ENVIRON)
def test_any_configuration_is_settings_or_an_error_without_its_values(
    tmp_path: Path, toml: str, environ: dict[str, str]
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(toml, encoding="utf-8", errors="surrogatepass")
    file.chmod(0o600)
    try:
        found = load_settings(file, environ)
    except ConfigError as error:
        assert PLANTED not in str(error)
    else:
        assert f"password=SecretStr('{PLANTED}" not in repr(found)


CELLS = st.one_of(st.sampled_from(["whatsapp", "100", "sendfile", "image", "https://x.example/", "", " ", '"', "\x00"]),
                  st.text(max_size=12))  # fmt: skip
FILES = st.one_of(
    st.text(max_size=120),
    st.builds(
        lambda head, rows, end: end.join(",".join(row) for row in (head, *rows)),
        st.lists(st.sampled_from(COLUMNS), max_size=5),
        st.lists(st.lists(CELLS, max_size=5), max_size=5),
        st.sampled_from(["\n", "\r\n", "\r", "\x0b\n"]),
    ),
)


@given(FILES)
def test_any_file_is_read_to_its_last_line_or_refused_with_a_number(text: str) -> None:
    lines = text.splitlines(keepends=True)
    try:
        found = list(read_csv(lines))
    except InvalidParameter as error:
        assert "line 1" in str(error)
        return
    assert all(isinstance(x, GoodLine) or (isinstance(x, BadLine) and x.reason) for x in found)
    numbers = [x.line for x in found]
    assert numbers == sorted(set(numbers))
    assert all(2 <= n <= len(lines) + 1 for n in numbers)


@given(
    st.one_of(
        st.text(max_size=40), st.datetimes().map(str), st.sampled_from(["9999-12-31T23:59-14:00", "0001-01-01T00+14"])
    )
)
def test_any_time_is_one_in_utc_or_refused(text: str) -> None:
    try:
        time = parse_time(text)
    except InvalidParameter:
        return
    assert time.utcoffset() == timedelta(0)
    assert datetime.min.replace(tzinfo=UTC) <= time


LEGACY = st.lists(
    st.sampled_from(
        ["EXEC sp_OACreate 'MSXML2.XMLHTTP', @o OUT\n", "EXEC sp_OAMethod @o, 'open', NULL, 'GET', @u\n", "SET @u = ",
         "'https://www.afilnet.com/api/http/?class=chat&method=",
         "SendMessage", "getchats&user=u&password=p'", "'", "''",
         "+ @u", "[", "]", '"', "/*", "*/", "--", "\n", "GO\n", "(", ")", ",", "BEGIN ", "END ", "IF 1=1 ",
         "REPLACE(",
         "DECLARE @u varchar(9) = ", "CREATE PROCEDURE p AS ", "\x00", "😀", "&class='"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(st.one_of(LEGACY, st.text(max_size=200)))
@example("EXEC sp_OACreate 'MSXML2.XMLHTTP', @o OUT\nEXEC sp_OAMethod @o, 'open', NULL, 'GET', "
         "'https://www.afilnet.com/api/http/?class=chat&method=sendmeSsage'\nEXEC sp_OAMethod @o, 'send'")  # fmt: skip
def test_any_code_gets_a_report(text: str) -> None:
    found = scan([Source("x.sql", text)])
    report.as_text(found, width=110)
    report.as_values(found)


@pytest.mark.parametrize(
    "piece", ["[", "[a", '"', "'", "(", "/*", "g+", "@a+", "&a='", "BEGIN ", "CASE ", string.printable]
)
def test_code_of_one_kind_takes_time_in_proportion(piece: str) -> None:
    def seconds(count: int) -> float:
        text = "EXEC sp_OACreate 'x', @o OUT\n" + piece * count
        began = time.process_time()
        report.as_text(scan([Source("x.sql", text)]), width=110)
        return time.process_time() - began

    small, large = 50_000 // len(piece), 200_000 // len(piece)
    assert seconds(large) < 12 * seconds(small) + 0.3
