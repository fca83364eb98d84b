"""Commands: what they print, how they exit. The embedded outbox stands behind them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from afilsql import cli
from afilsql.cli.context import Exit, exit_code
from afilsql.errors import (
    ConfigError,
    DatabaseUnavailable,
    DriverMissing,
    InvalidParameter,
    Refused,
    RequestNotFound,
)

SEND = ("send", "--platform", "whatsapp", "--platformid", "100", "--destination", "346", "--message", "Hi ñ")


@dataclass
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("AFILSQL_DATABASE_URL", f"sqlite:///{tmp_path.as_posix()}/a.db")
    for name in ("CONFIG", "USER", "PASSWORD", "ACCOUNTS"):
        monkeypatch.delenv(f"AFILSQL_{name}", raising=False)

    def run(*args: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            cli.main(args)
        printed = capsys.readouterr()
        return Ran(int(ended.value.code or 0), printed.out, printed.err)

    return run


def test_send_works_at_once_and_prints_just_the_id(run):
    ran = run(*SEND)
    assert (ran.code, ran.out) == (0, "1\n")
    assert json.loads(run(*SEND, "--json").out) == {"id": 2}


def test_show_gives_everything_as_json(run):
    run(*SEND, "--priority", "2", "--dedup-key", "k", "--send-at", "2099-01-01T00:00:00")
    shown = json.loads(run("show", "1", "--json").out)
    assert (shown["message"], shown["destination"], shown["status"]) == ("Hi ñ", "346", "scheduled")
    assert (shown["attempts"], shown["history"], shown["answer"], shown["dedup_key"]) == (0, [], None, "k")
    assert shown["due_at"] == "2099-01-01T00:00:00+00:00"


def test_list_filters_and_limits(run):
    for _ in range(3):
        run(*SEND)
    assert [i["id"] for i in json.loads(run("list", "--limit", "2", "--json").out)] == [3, 2]
    assert json.loads(run("list", "--status", "failed", "--json").out) == []
    assert "queued" in run("list").out
    assert run("list", "--status", "lost").code == Exit.USAGE


@pytest.mark.parametrize(
    ("command", "method"),
    [
        (("channels",), "getchatchannels"),
        (("chats", "--platform", "whatsapp", "--platformid", "1"), "getchats"),
        (("messages", "--platform", "whatsapp", "--platformid", "1", "--destination", "2"), "getmessages"),
        (("unread", "--platform", "whatsapp", "--platformid", "1", "--destination", "2"), "getunreadmessages"),
        (
            (
                *("send-file", "--platform", "whatsapp", "--platformid", "1", "--destination", "2"),
                *("--type", "image", "--fileurl", "https://a.example/b"),
            ),
            "sendfile",
        ),
    ],
)
def test_each_command_queues_its_method(run, command, method):
    assert run(*command).out == "1\n"
    assert json.loads(run("show", "1", "--json").out)["method"] == method


def test_a_refused_parameter_is_said_and_nothing_is_queued(run):
    ran = run("send", "--platform", "fax", "--platformid", "1", "--destination", "2", "--message", "x")
    assert ran.code == Exit.USAGE
    assert ran.err.startswith("afilsql: @platform 'fax'")
    assert json.loads(run("list", "--json").out) == []


def test_an_unknown_id_is_said(run):
    ran = run("show", "77")
    assert ran.code == Exit.USAGE
    assert "77" in ran.err
    assert "Traceback" not in ran.err


def test_waiting_ends_with_its_own_exit_code(run):
    ran = run(*SEND, "--wait", "0.05")
    assert ran.code == Exit.TIMEOUT
    assert "afilsql worker" in ran.err


def test_status_counts(run):
    run(*SEND)
    assert json.loads(run("status", "--json").out)["counts"]["queued"] == 1
    assert "queued" in run("status").out


def test_a_request_that_has_not_failed_is_not_requeued(run):
    run(*SEND)
    ran = run("requeue", "1")
    assert ran.code == Exit.FAILED
    assert "Requeued 0 of 1" in ran.out


def test_migrate_twice_changes_nothing_and_check_agrees(run):
    assert run("migrate", "--check").code == Exit.FAILED
    assert run("migrate").code == 0
    assert "already" in run("migrate").out
    assert run("migrate", "--check").code == 0
    assert run("migrate", "--check", "--sql").code == Exit.USAGE


def test_a_worker_without_credentials_says_what_to_set(run):
    ran = run("worker", "--drain")
    assert ran.code == Exit.CONFIG
    assert "AFILSQL_USER" in ran.err


def test_a_missing_settings_file_is_a_configuration_error(run):
    assert run("--config", "/no/such.toml", "status").code == Exit.CONFIG


def write(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "in.csv"
    path.write_text("\n".join(("platform,platformid,destination,message", *lines)) + "\n", encoding="utf-8")
    return str(path)


def test_import_queues_every_line_over_several_batches(run, tmp_path):
    ran = run("import", write(tmp_path, *(f"whatsapp,100,{n},hi" for n in range(1200))), "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["queued"] == 1200
    assert json.loads(run("status", "--json").out)["counts"]["queued"] == 1200


def test_import_writes_nothing_when_a_line_is_bad(run, tmp_path):
    ran = run("import", write(tmp_path, "whatsapp,100,1,hi", "fax,100,1,hi"))
    assert ran.code == Exit.USAGE
    assert "line 3" in ran.err
    assert json.loads(run("list", "--json").out) == []


def test_import_can_skip_bad_lines(run, tmp_path):
    ran = run("import", write(tmp_path, "whatsapp,100,1,hi", "fax,100,1,hi"), "--skip-bad")
    assert ran.code == Exit.FAILED
    assert len(json.loads(run("list", "--json").out)) == 1


def test_a_file_that_is_not_utf8_is_refused(run, tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes(b"platform,message\nwhatsapp,\xf1\n")
    ran = run("import", str(path))
    assert ran.code == Exit.USAGE
    assert "UTF-8" in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidParameter(), 2),
        (RequestNotFound(), 2),
        (ConfigError(), 3),
        (DriverMissing(), 3),
        (DatabaseUnavailable(), 4),
        (Refused(), 5),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error, code):
    assert exit_code(error) == code


def test_help_loads_nothing_heavy():
    script = (
        "import sys, afilsql.cli; "
        "print([m for m in ('sqlalchemy', 'requests', 'pydantic', 'alembic', 'starlette') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


WEAK = "mssql+pyodbc://sa:s3cret@db.example.com/d?driver=none&Encrypt=no"


def test_an_unencrypted_database_connection_is_warned_of_once(run, monkeypatch):
    monkeypatch.setenv("AFILSQL_DATABASE_URL", WEAK)
    ran = run("status")
    assert ran.code == Exit.CONFIG  # there is no driver "none"
    assert ran.err.count("warning: Encrypt=no") == 1
    assert "s3cret" not in ran.err


def test_a_worker_logs_that_its_database_connection_is_not_encrypted(run, monkeypatch):
    monkeypatch.setenv("AFILSQL_DATABASE_URL", WEAK)
    monkeypatch.setenv("AFILSQL_USER", "ana")
    monkeypatch.setenv("AFILSQL_PASSWORD", "s3cret")
    lines = [json.loads(line) for line in run("worker", "--drain").err.splitlines() if line.startswith("{")]
    assert [line["level"] for line in lines if line["event"] == "database_connection"] == ["warning"]


def test_a_password_on_the_command_line_is_warned_of(run):
    ran = run("legacy", "--url", WEAK)
    assert "everybody on this machine can see the password in --url" in ran.err
    assert "s3cret" not in ran.err


def test_a_worker_whose_password_cannot_be_had_says_so_at_the_start(run, monkeypatch):
    monkeypatch.setenv("AFILSQL_USER", "ana")
    monkeypatch.setenv("AFILSQL_PASSWORD_FILE", "/no/such/file")
    ran = run("worker", "--drain")
    assert ran.code == Exit.CONFIG
    assert "the password file /no/such/file of the account 'default' does not exist" in ran.err
