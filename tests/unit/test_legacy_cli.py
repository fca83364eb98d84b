"""`afilsql legacy`: what it reads, what it prints, how it exits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from afilsql import cli
from afilsql.cli.context import Exit
from afilsql.legacy import Source, Verdict, read_database, scan
from afilsql.legacy.report import as_text, as_values
from afilsql.legacy.source import decode
from tests.unit.legacy_samples import FOLDER, SAMPLES, sql_of, text_of


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    monkeypatch.setenv("AFILSQL_DATABASE_URL", "sqlite:///none.db")

    def run(*args: str | Path) -> SimpleNamespace:
        with pytest.raises(SystemExit) as ended:
            cli.main(["legacy", *map(str, args)])
        printed = capsys.readouterr()
        return SimpleNamespace(code=int(ended.value.code or 0), out=printed.out, err=printed.err)

    return run


def test_a_call_is_printed_with_its_line_its_defects_and_sql_to_copy(run):
    ran = run(FOLDER / "sendmessage.sql")
    assert ran.code == Exit.FAILED
    assert f"{FOLDER / 'sendmessage.sql'}:22  sendmessage by GET" in ran.out
    assert "\n  url-truncated       line 17: @url is varchar(255)" in ran.out
    [call] = scan([Source("x", text_of("sendmessage"))])[0].calls
    assert f"\n\n{sql_of(call)}\n\n" in ran.out
    assert ran.out.splitlines()[-1] == "1 source read, 1 call with a replacement, 11 defects."


def test_folders_are_searched_to_the_last_and_each_file_is_read_once(run, tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    for i, name in enumerate(SAMPLES):
        (deep if i % 2 else tmp_path).joinpath(f"{name}{'.SQL' if i == 3 else '.sql'}").write_text(text_of(name))
    (deep / "notes.txt").write_text(text_of("sendmessage"))
    ran = run(tmp_path, deep, deep / "sendmessage.sql", "--json")
    assert sorted(c["method"] for c in json.loads(ran.out)["calls"]) == sorted(SAMPLES)


def test_json_holds_everything(run):
    found = json.loads(run(FOLDER, "--json").out)
    assert found["summary"]["sources"] == len(list(FOLDER.glob("*.sql")))
    assert {c["verdict"] for c in found["calls"]} == {v.value for v in Verdict}
    assert found["accounts"] == ["shop", "shop@example.com", "user"]
    assert len(found["switches"]) == len(SAMPLES)
    loop = next(c for c in found["calls"] if c["source"].endswith("loop.sql"))
    assert loop["parameters"]["destination"] == "@phone"
    assert loop["parameters"]["message"].startswith("N'Hello ' + @name")
    assert loop["procedure"] == "afil.send_message"
    assert loop["defects"][0].keys() == {"name", "line", "text"}


def test_nothing_found_exits_with_zero_and_calls_elsewhere_do_not_count(run):
    ran = run(FOLDER / "comments.sql")
    assert (ran.code, ran.out) == (0, "1 source read, no call by sp_OACreate found.\n")
    ran = run(FOLDER / "elsewhere.sql")
    assert ran.code == 0
    assert "another address (api.example.com), left alone" in ran.out


@pytest.mark.parametrize("name", ["unresolved", "dynamic"])
def test_what_a_person_must_look_at_counts(run, name):
    assert run(FOLDER / f"{name}.sql").code == Exit.FAILED


def test_the_switch_alone_counts(run, tmp_path):
    path = tmp_path / "x.sql"
    path.write_text("EXEC sp_configure 'Ole Automation Procedures', 1;\n")
    ran = run(path)
    assert ran.code == Exit.FAILED
    assert f"{path}:1  OLE automation is switched on" in ran.out
    path.write_text("EXEC sp_configure 'Ole Automation Procedures', 0;\n")
    assert run(path).code == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "cp1252"])
def test_every_encoding_that_editors_write_is_read(run, tmp_path, encoding):
    path = tmp_path / "x.sql"
    text = text_of("sendmessage").replace("test+message", "señal+nueva")
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    path.write_bytes(mark + text.encode(encoding))
    [call] = json.loads(run(path, "--json").out)["calls"]
    assert call["parameters"]["message"] == "N'señal nueva'"
    assert call["line"] == 22


def test_any_bytes_are_text():
    for data in (b"", b"\xff", b"\xff\xfe\x00", b"\x81\x8d", bytes(range(256))):
        assert isinstance(decode(data), str)


def test_wrong_usage_is_said(run, tmp_path):
    for args in ((), (FOLDER, "--database"), (FOLDER, "--url", "mssql+pyodbc://x/y")):
        ran = run(*args)
        assert ran.code == Exit.USAGE
        assert "--database" in ran.err
    ran = run(tmp_path / "none.sql")
    assert ran.code == Exit.USAGE
    assert f"{tmp_path / 'none.sql'} does not exist" in ran.err
    ran = run(tmp_path)
    assert ran.code == Exit.USAGE
    assert "holds no .sql file" in ran.err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_said(run, tmp_path):
    path = tmp_path / "x.sql"
    path.touch(mode=0o000)
    ran = run(path)
    assert ran.code == Exit.USAGE
    assert "check its permissions" in ran.err


def test_an_embedded_database_has_no_modules(run):
    ran = run("--database")
    assert ran.code == Exit.USAGE
    assert "mssql+pyodbc" in ran.err


def test_a_terminal_without_the_letters_still_gets_the_text(monkeypatch, capsys, run, tmp_path):
    path = tmp_path / "x.sql"
    path.write_text(text_of("sendmessage").replace("test+message", "a\u202e\x1b[31m😀"), encoding="utf-8")
    ran = run(path)
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out


class Connection:
    """Stands in for a connection: answers the one query with the rows it was given."""

    def __init__(self, *rows: tuple[str | None, str | None]) -> None:
        self.rows = rows
        self.asked: list[str] = []

    def exec_driver_sql(self, statement: str) -> Any:
        self.asked.append(statement)
        return SimpleNamespace(fetchall=lambda: list(self.rows))


def test_a_databases_modules_are_read_and_lines_count_within_each():
    connection = Connection(("dbo.remind", text_of("cursor")), ("dbo.hidden", None), (None, "CREATE TRIGGER t"))
    sources = read_database(connection)  # type: ignore[arg-type]
    assert [s.name for s in sources] == ["(no name)", "dbo.hidden", "dbo.remind"]
    assert all(s.lstrip().upper().startswith("SELECT") for s in connection.asked)
    reports = scan(sources)
    assert [(c.line, c.module) for r in reports for c in r.calls] == [(9, "dbo.remind")]
    text = as_text(reports)
    assert "dbo.hidden\n==========\n  This module is encrypted (WITH ENCRYPTION) and cannot be read" in text
    assert text.endswith("1 encrypted and not read.")
    assert as_values(reports)["encrypted"] == ["dbo.hidden"]


def test_sentences_are_wrapped_and_sql_never():
    text = wrapped = as_text(scan([Source("x", text_of("loop"))]), width=60)
    sql = next(line for line in wrapped.splitlines() if line.startswith("SET @afil_message"))
    assert len(sql) > 60
    assert all(len(line) <= 62 for line in text.splitlines() if line.startswith("  ") and not line.startswith("    @"))


def test_the_readme_shows_what_the_command_prints(run, monkeypatch):
    readme = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
    shown = readme.partition("$ afilsql legacy sendmessage.sql\n")[2].partition("```")[0]
    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("COLUMNS", "110")
    out = run("sendmessage.sql").out.splitlines()
    lines = [line for line in shown.splitlines() if line]
    assert len(lines) > 15
    assert [line for line in lines if line not in out] == []
