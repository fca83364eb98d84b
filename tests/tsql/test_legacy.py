"""`afilsql legacy --database` on a real engine: modules are read as they were written, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from afilsql import cli
from afilsql.cli.context import Exit
from afilsql.legacy import Verdict, read_database, scan
from afilsql.outbox.engine import create_engine
from tests.unit.legacy_samples import SAMPLES, only_call, sql_of, text_of

pytestmark = pytest.mark.tsql

# EXEC binds late, so these can be made on an engine that has no sp_OACreate.
CALLER = """CREATE PROCEDURE dbo.call_it @phone nvarchar(20) AS
BEGIN
    DECLARE @win int, @url nvarchar(500);
    SET @url = N'https://www.afilnet.com/api/http/?class=chat&method=getmessages&user=shop&password=planted-secret'
        + N'&platform=whatsapp&platformid=100&destination=' + @phone;
    EXEC sp_OACreate 'WinHttp.WinHttpRequest.5.1', @win OUT;
    EXEC sp_OAMethod @win, 'Open', NULL, 'GET', @url, 'false';
    EXEC sp_OAMethod @win, 'Send';
    EXEC sp_OADestroy @win;
END"""
HARMLESS = "CREATE FUNCTION dbo.twice (@x int) RETURNS int AS BEGIN RETURN @x * 2; END"
VIEW = "CREATE VIEW dbo.one AS SELECT 1 AS n"


@pytest.fixture
def url(new_tsql_url: str) -> str:
    """URL of a database with three modules."""
    engine = create_engine(new_tsql_url, autocommit=True)
    with engine.connect() as connection:
        for statement in (CALLER, HARMLESS, VIEW):
            connection.exec_driver_sql(statement)
    engine.dispose()
    return new_tsql_url


def objects(connection: sa.Connection) -> list[tuple[str, str]]:
    rows = connection.exec_driver_sql("SELECT name, type FROM sys.objects WHERE is_ms_shipped = 0 ORDER BY name")
    return [(r[0], r[1]) for r in rows]


def test_every_module_is_read_with_its_schema_and_nothing_changes(url: str) -> None:
    engine = create_engine(url, autocommit=True)
    with engine.connect() as connection:
        before = objects(connection)
        found = {s.name: s.text for s in read_database(connection)}
        assert objects(connection) == before
    engine.dispose()
    assert {"dbo.call_it", "dbo.twice", "dbo.one"} <= set(found)
    assert (found["dbo.call_it"] or "").strip() == CALLER


def test_the_call_is_found_at_its_line_in_the_module(url: str) -> None:
    engine = create_engine(url, autocommit=True)
    with engine.connect() as connection:
        reports = [r for r in scan(read_database(connection)) if r.calls]
    engine.dispose()
    [report] = reports
    [call] = report.calls
    assert (report.source, call.line, call.verdict, call.method) == ("dbo.call_it", 6, Verdict.REPLACED, "getmessages")
    assert call.replacement is not None
    assert "@destination = @phone;" in call.replacement.sql


def test_the_command_reads_the_database_it_is_given(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AFILSQL_DATABASE_URL", url)
    for arguments in (["--database", "--json"], ["--url", url, "--json"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["legacy", *arguments])
        assert ended.value.code == Exit.FAILED
        out = capsys.readouterr().out
        assert [c["module"] for c in json.loads(out)["calls"]] == ["dbo.call_it"]
        assert "planted" not in out


PHONE = "DECLARE @phone nvarchar(30) = N'34600000001';\n"
DECLARED = {
    "concat": f"{PHONE}DECLARE @customer int = 7, @note nvarchar(max) = N'Ciao & ciao 👋', @channel int = 100;\n",
    "trigger": f"{PHONE}DECLARE @id int = 12, @state nvarchar(20) = N'sent';\n",
    "loop": f"{PHONE}DECLARE @n int = 3, @name nvarchar(100) = N'Zoë';\n",
    "cursor": "DECLARE @destination varchar(20) = '346', @message nvarchar(200) = N'a b', @channel int = 100;\n",
    "procedure": f"{PHONE}DECLARE @picture varchar(99) = 'https://x.example/a', @thumb varchar(9), @text varchar(9);\n",
}
MESSAGES = {
    "sendmessage": "test message",
    "sendfile": "test message",
    "concat": "Ciao & ciao 👋\nCustomer 7",
    "trigger": "Order 12 is sent",
    "loop": "Hello Zoë, order 3 has left.",
    "cursor": "a b",
    "procedure": None,
}


@pytest.mark.parametrize("name", [*SAMPLES, *DECLARED])
def test_a_replacement_runs_and_puts_the_same_request_in_the_outbox(query: Callable[..., list[Any]], name: str) -> None:
    call = only_call(text_of(name))
    query(DECLARED.get(name, "") + sql_of(call))
    [row] = query("SELECT method, platform, message, fileurl, status FROM afil.all_items")
    assert (row.method, row.status) == (call.method, "queued")
    assert row.message == MESSAGES.get(name)
    assert row.platform == (None if name == "getchatchannels" else "telegram" if name == "loop" else "whatsapp")
    assert bool(row.fileurl) is (call.method == "sendfile")
