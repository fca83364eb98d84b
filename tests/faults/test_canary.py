"""A password planted as a canary: whatever happens, no byte that afilsql writes or shows holds it, in any encoding.

The environment of a process belongs to the operating system and is left out; so is the memory.
"""

from __future__ import annotations

import base64
import html
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import sqlalchemy as sa
from typer.main import get_command

from afilsql import cli
from afilsql.api.client import AfilnetClient
from afilsql.config import load_settings
from afilsql.deploy import migrate
from afilsql.errors import AfilsqlError
from afilsql.outbox import open_outbox
from afilsql.outbox.engine import create_engine, translated
from afilsql.outbox.records import Request
from tests.faults.canaries import answer, frames_of, spellings
from tests.faults.tls import listening, read_request
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")

#: Each is spelled differently in a URL, in JSON, in HTML and in a connection string.
API, DATABASE, PROXY = 'C4n4ry/a"pi+<&>ñ\\w 1', "C4n4ry/d@tä+b;{se}%2", 'C4n4ry/pr"oxy:+<é&> 3'


SEND = ("send", "--platform", "whatsapp", "--platformid", "1", "--destination", "2", "--message", "Hi")


CANARIES = {spelling for secret in (API, DATABASE, PROXY) for spelling in spellings(secret)}


def assert_clean(data: bytes | str, where: object) -> None:
    data = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    for canary in CANARIES:
        assert canary not in data, f"{canary!r} in {where}: …{data[max(0, data.find(canary) - 200) :][:400]!r}"


def test_the_search_finds_each_spelling_it_is_for() -> None:
    for secret in (API, DATABASE, PROXY):
        wrapped = base64.b64encode(f"user:{secret}:more".encode()).decode()
        for text in (secret, quote(secret, safe=""), json.dumps({"a": secret}), html.escape(secret), wrapped):
            with pytest.raises(AssertionError):
                assert_clean(f"before {text} after", "here")
        with pytest.raises(AssertionError):
            assert_clean(secret.encode("utf-16-le"), "here")


def echo(connection: socket.socket) -> None:
    """An API that says the password back in every way it could, as the destination of the call asks."""
    request = read_request(connection)
    how = request.rpartition(b"destination=")[2].split(b"&")[0].decode()
    basic = base64.b64encode(f"us er:{API}".encode()).decode()
    seen = f"X-Echo: {quote(API)} {basic}"
    everything = f"{API} {quote(API)} {quote_plus(API)} {html.escape(API)} {basic} {request.decode()}"
    rows = {"status": "SUCCESS", "result": {"list": [{"message": everything, "destination": API, "messageid": "1"}]}}
    said = {
        "success": answer(200, json.dumps(rows).encode(), seen),
        "unescaped": answer(200, json.dumps(rows, ensure_ascii=False).encode(), seen),
        "code": answer(200, json.dumps({"status": "ERROR", "error": f"BAD {API}"}).encode(), seen),
        "refused": answer(200, b'{"status": "ERROR", "error": "INCORRECT_USER_PASSWORD"}', seen),
        "page": answer(200, f"<p>{everything}".encode(), seen, kind="text/html"),
        "error": answer(500, everything.encode(), seen),
        "busy": answer(503, everything.encode(), seen, f"Retry-After: {quote(API)}"),
        "moved": answer(302, b"", f"Location: https://example.com/?p={quote(API)}"),
        "broken": answer(200, everything.encode())[:-5],
        "nonsense": f"HTTP/9 {quote(API)}\r\n\r\n".encode(),
        "closed": b"",
    }
    connection.sendall(said[how])


HOWS = ("success", "unescaped", "code", "page", "error", "busy", "moved", "broken", "nonsense", "closed", "refused")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canary")


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with listening(echo) as port:
        yield f"http://127.0.0.1:{port}/api/http/"


def environment(folder: Path, api: str, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")}
    return clean | {
        "AFILSQL_DATABASE_URL": f"sqlite:///{folder / 'a.db'}",
        "AFILSQL_API_URL": api,
        "AFILSQL_USER": "us er",
        "AFILSQL_PASSWORD": API,
        "AFILSQL_LOG_LEVEL": "debug",
        "AFILSQL_READ_TIMEOUT": "5",
        "AFILSQL_CONNECT_TIMEOUT": "2",
        "AFILSQL_PROXY": "none",
        "PYTHONFAULTHANDLER": "1",
        **more,
    }


def run(folder: Path, environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run one command; what it prints and its command line are searched."""
    process = subprocess.Popen(
        [sys.executable, "-m", "afilsql", *arguments],
        env=environ,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if sys.platform == "linux":
        assert_clean(Path(f"/proc/{process.pid}/cmdline").read_bytes(), f"the command line of {arguments}")
    out, err = process.communicate(timeout=PATIENCE)
    assert_clean(out, f"what {arguments} prints")
    assert_clean(err, f"what {arguments} says")
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def search(folder: Path) -> int:
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        assert_clean(path.read_bytes(), path)
    return len(files)


def test_an_api_that_says_the_password_back_leaves_no_trace_of_it(folder: Path, api: str) -> None:
    environ = environment(folder, api)
    migrate(environ["AFILSQL_DATABASE_URL"])
    chat = {"platform": "whatsapp", "platformid": "100"}
    with open_outbox(environ["AFILSQL_DATABASE_URL"]) as outbox:
        for how in HOWS:
            outbox.enqueue(Request("getmessages", {**chat, "destination": how}, max_attempts=1, priority=5))
            outbox.enqueue(
                Request("sendmessage", {**chat, "destination": how, "message": "Hi"}, max_attempts=1, priority=9)
            )
    done = run(folder, environ, "worker", "--once")
    assert done.returncode == 0, done.stderr
    for log_format in ("console", "json"):
        done = run(folder, environ | {"AFILSQL_LOG_FORMAT": log_format}, "worker", "--drain")
        assert done.returncode == 0, done.stderr
    with open_outbox(environ["AFILSQL_DATABASE_URL"]) as outbox:
        counts = outbox.status().counts
        assert counts["sent"] >= 2, "it was delivered"
        assert counts["failed"] + counts["uncertain"] >= 5, "it was refused"
        assert outbox.status().held, "the account was held"
        ids = [item.id for item in outbox.items(limit=100)]
    for command in (("status",), ("status", "--json"), ("list",), ("list", "--json"), ("migrate", "--check")):
        run(folder, environ, *command)
    for id in ids[:4]:
        run(folder, environ, "show", str(id), "--json")
    assert search(folder) >= 1


@pytest.mark.tsql
def test_no_table_of_the_t_sql_engine_holds_the_password(empty_tsql: str, tmp_path: Path, api: str) -> None:
    environ = environment(tmp_path, api, AFILSQL_DATABASE_URL=empty_tsql)
    chat = {"platform": "whatsapp", "platformid": "100"}
    with open_outbox(empty_tsql) as outbox:
        for how in HOWS:
            outbox.enqueue(Request("getmessages", {**chat, "destination": how}, max_attempts=1))
        done = run(tmp_path, environ, "worker", "--drain")
        assert done.returncode == 0, done.stderr
        assert outbox.status().counts["sent"] == 2
    engine = create_engine(empty_tsql)
    with engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT name FROM sys.tables WHERE schema_id = SCHEMA_ID(N'afil')").scalars()
        rows = {name: connection.exec_driver_sql(f"SELECT * FROM afil.[{name}]").fetchall() for name in names.all()}
    engine.dispose()
    assert rows["response"], "answers were stored"
    assert rows["chat_message"], "and their rows"
    for name, found in rows.items():
        for row in found:
            assert_clean("\n".join(map(str, row)), f"afil.{name}")


def test_a_worker_that_dies_of_a_signal_shows_nothing(folder: Path, api: str) -> None:
    with (folder / "crash.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "afilsql", "worker"],
            env=environment(folder, api, AFILSQL_DATABASE_URL=f"sqlite:///{folder / 'crash.db'}"),
            cwd=folder,
            stdout=log,
            stderr=log,
        )
        end = time.monotonic() + PATIENCE
        while b"worker_started" not in (folder / "crash.log").read_bytes():
            assert worker.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        worker.send_signal(signal.SIGSEGV)
        assert worker.wait(PATIENCE) == -signal.SIGSEGV
    assert b"Segmentation fault" in (folder / "crash.log").read_bytes(), "Python's own report was written"
    search(folder)


def failing(kind: str) -> str:
    """URL of a SQL Server that is not there."""
    plain = sa.URL.create("mssql+pyodbc", "sa", DATABASE, "127.0.0.1", 1, "d", {"timeout": "1"})
    string = f"DRIVER={{none}};SERVER=127.0.0.1,1;UID=sa;PWD={{{DATABASE.replace('}', '}}')}}}"
    return {
        "url": plain.render_as_string(hide_password=False),
        "connection string": "mssql+pyodbc:///?odbc_connect=" + quote_plus(string),
        "nonsense": f"mssql+pyodbc:/sa:{DATABASE}@h:{DATABASE}",
    }[kind]


def test_a_worker_whose_database_is_away_says_so_without_its_password(folder: Path, api: str) -> None:
    log = folder / "away.log"
    with log.open("wb") as out:
        worker = subprocess.Popen(
            [sys.executable, "-m", "afilsql", "worker"],
            env=environment(folder, api, AFILSQL_DATABASE_URL=failing("url")),
            cwd=folder,
            stdout=out,
            stderr=out,
        )
        try:
            end = time.monotonic() + PATIENCE
            while b"database_lost" not in log.read_bytes():
                assert worker.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
        finally:
            worker.kill()
            worker.wait()
    search(folder)


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("url", "status"),  # the driver takes its time to give up: one command is enough
        *((kind, c) for kind in ("connection string", "nonsense") for c in ("status", "send", "migrate", "legacy")),
    ],
)
def test_a_database_that_fails_is_told_without_its_password(folder: Path, api: str, command: str, kind: str) -> None:
    arguments = {"legacy": ("legacy", "--database"), "send": SEND}.get(command, (command,))
    done = run(folder, environment(folder, api, AFILSQL_DATABASE_URL=failing(kind)), *arguments)
    assert done.returncode in (3, 4), done.stderr
    assert b"Traceback" not in done.stderr


def test_a_proxy_that_fails_is_told_without_its_login(folder: Path, api: str) -> None:
    def refuse(connection: socket.socket) -> None:
        request = read_request(connection)
        connection.sendall(b"HTTP/1.1 407 " + request.split(b"\r\n")[0] + b"\r\nContent-Length: 0\r\n\r\n")

    url = f"sqlite:///{folder / 'proxy.db'}"
    migrate(url)
    with listening(refuse) as port, open_outbox(url) as outbox:
        outbox.enqueue(Request("getchatchannels", {}, max_attempts=1))
        proxy = f"http://u:{quote(PROXY, safe='')}@127.0.0.1:{port}"
        environ = environment(folder, "https://localhost:1/api/", AFILSQL_DATABASE_URL=url, AFILSQL_PROXY=proxy)
        done = run(folder, environ, "worker", "--drain")
        assert done.returncode == 0, done.stderr
        assert b"PROXY_407" in done.stderr
        bad = environ | {"AFILSQL_PROXY": f"ftp://u:{PROXY}@h:1"}
        assert run(folder, bad, "worker", "--drain").returncode == 3
    search(folder)


def chain(error: BaseException | None) -> str:
    """Everything that a reporter of crashes could read from an error: its causes, and the variables of its frames."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()) if error else ""


def test_no_exception_carries_a_password_in_its_causes_or_its_frames_variables(api: str) -> None:
    chat = {"platform": "whatsapp", "platformid": "100"}
    with AfilnetClient("us er", API, url=api, read_timeout=5) as client:
        for how in HOWS[2:]:
            with pytest.raises(AfilsqlError) as caught:
                client.call("getmessages", {**chat, "destination": how})
            error: BaseException | None = caught.value
            shown = ""
            while error is not None:
                frames = [f for f in traceback.extract_tb(error.__traceback__) if "afilsql" in f.filename]
                shown += f"{error!r} {error.args} {vars(error)} {frames}"
                error = error.__cause__ or error.__context__
            assert_clean(shown, f"the error of {how}")
        assert_clean(repr(client) + repr(vars(client)), "the client")
    with pytest.raises(AfilsqlError) as refused, AfilnetClient("us er", API, url="https://127.0.0.1:1/") as client:
        client.call("getchatchannels", {})
    assert_clean(frames_of(refused.value), "the frames of a call that found nobody")


def test_no_form_of_the_settings_shows_a_password() -> None:
    proxy = f"http://u:{quote(PROXY, safe='')}@h:1"
    url = f"mssql+pyodbc://sa:{quote_plus(DATABASE)}@h/d"
    accounts = json.dumps({"shop": {"user": "eva", "password": API}})
    settings = load_settings(
        environ={
            "AFILSQL_USER": "ana",
            "AFILSQL_PASSWORD": API,
            "AFILSQL_PROXY": proxy,
            "AFILSQL_DATABASE_URL": url,
            "AFILSQL_ACCOUNTS": accounts,
        }
    )
    assert (settings.database_url, settings.proxy) == (url, proxy)
    for form in (repr, str, vars, type(settings).model_dump, type(settings).model_dump_json, dict):
        assert_clean(repr(form(settings)), form)
    for secretive in (settings, settings.credentials("shop")):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secretive)
    assert settings.model_copy(update={"concurrency": 3}).proxy == proxy


def test_no_engine_error_shows_a_password() -> None:
    url = sa.URL.create("mssql+pyodbc", "sa", DATABASE, "127.0.0.1", 1, "d", {"timeout": "1"})
    engine = create_engine(url.render_as_string(hide_password=False))
    with pytest.raises(AfilsqlError) as caught, translated(), engine.connect():
        pass
    error: BaseException | None = caught.value
    while error is not None:
        assert_clean(f"{error!r} {error} {vars(error)}", "an error of the database or what is behind it")
        error = error.__cause__ or error.__context__
    assert_clean(repr(engine) + str(engine.url), "the engine")


def test_a_crash_of_the_command_line_prints_no_variables() -> None:
    assert cli.app.pretty_exceptions_enable is False
    assert get_command(cli.app) is not None
