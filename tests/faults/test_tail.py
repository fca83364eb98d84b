"""`afilsql tail` in a process of its own: it follows what a worker brings, outlives an outage, and ends on Ctrl+C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from afilsql.outbox import open_outbox
from afilsql.outbox.engine import create_engine
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from afilsql.sandbox.state import SEEDED_DESTINATION
from tests.faults.connection_campaign import through
from tests.faults.processes import WORKER, ended, environment, workers
from tests.faults.proxy import Plan, Proxy
from tests.faults.test_connection_cut import port_of
from tests.faults.traffic import wait_until
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")

CHAT = {"platform": "whatsapp", "platformid": "100", "destination": SEEDED_DESTINATION}


class Tail(subprocess.Popen[bytes]):
    """`afilsql tail whatsapp 100`; what it prints and says is kept in files."""

    def __init__(self, folder: Path, database: str, *options: str, **settings: str) -> None:
        self._out, self._err = folder / "out", folder / "err"
        command = [sys.executable, "-m", "afilsql", "tail", "whatsapp", "100", *options]
        environ = environment(database, "http://127.0.0.1:9/") | {"PYTHONIOENCODING": "utf-8"} | settings
        with self._out.open("wb") as out, self._err.open("wb") as err:
            super().__init__(command, env=environ, stdout=out, stderr=err)

    def shown(self) -> str:
        return self._out.read_text(encoding="utf-8")

    def said(self) -> str:
        return self._err.read_text(encoding="utf-8")


@contextmanager
def tail(database: str, *options: str, **settings: str) -> Iterator[Tail]:
    """Follow while the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        process = Tail(Path(folder), database, *options, **settings)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def api() -> Iterator[SandboxServer]:
    with SandboxServer(delivered_after=0) as server:
        yield server


def store(api: SandboxServer, database: str, *texts: str) -> None:
    """A customer writes, and a worker brings it."""
    for text in texts:
        api.sandbox.customer_says("demo", *CHAT.values(), text)
    with open_outbox(database) as outbox:
        outbox.enqueue(Request("getmessages", CHAT))
    with workers(1, database, api.url) as (worker,):
        ended(worker)


def interrupted(process: Tail) -> int:
    process.send_signal(signal.SIGINT)
    return process.wait(PATIENCE)


def test_it_shows_what_a_customer_writes_and_what_is_answered(api: SandboxServer, empty_sqlite: str) -> None:
    with (
        open_outbox(empty_sqlite) as outbox,
        tail(empty_sqlite, "--json") as following,
        workers(1, empty_sqlite, api.url, command=WORKER),
    ):
        wait_until(lambda: "run `afilsql subscribe whatsapp 100`" in following.said(), "it said nothing", every=0.1)
        outbox.subscribe("whatsapp", "100", every_seconds=5)
        wait_until(lambda: outbox.rows_of("messages"), "the history did not come", every=0.1)
        api.sandbox.customer_says("demo", *CHAT.values(), "Where is it?\nI wait. ñ😀")
        wait_until(lambda: "Where is it?" in following.shown(), "the customer was not shown", every=0.1)
        outbox.enqueue(Request("sendmessage", {**CHAT, "message": "At your door."}))
        wait_until(lambda: "At your door." in following.shown(), "the answer was not shown", every=0.1)
        assert interrupted(following) == 0
        rows = [json.loads(line) for line in following.shown().splitlines()]
        assert [(row["message"], row["sent"], row["destination"]) for row in rows] == [
            ("Where is it?\nI wait. ñ😀", False, SEEDED_DESTINATION),
            ("At your door.", True, SEEDED_DESTINATION),
        ]
        assert rows[1]["status"] == "delivered"
        assert "Traceback" not in following.said()
        assert following.said().count("not shown: 1 from before the first look") == 1


def test_piped_it_prints_a_line_for_each_message_at_once(api: SandboxServer, empty_sqlite: str) -> None:
    store(api, empty_sqlite, "one\ntwo")
    with tail(empty_sqlite, "--history", "1") as following:
        wait_until(lambda: following.shown().endswith("\n"), "it showed nothing", every=0.1)
        line = following.shown()
        assert line[19:] == f" ← from {SEEDED_DESTINATION}: one\\ntwo\n"
        store(api, empty_sqlite, "three")
        wait_until(lambda: following.shown().endswith(": three\n"), "it did not follow", every=0.1)
        assert interrupted(following) == 0
        assert following.shown().count("\n") == 2
        assert "\x1b" not in following.shown()


def test_where_there_is_no_unicode_the_arrow_is_plain(api: SandboxServer, empty_sqlite: str) -> None:
    store(api, empty_sqlite, "hola ñ")
    with tail(empty_sqlite, "--history", "1", PYTHONIOENCODING="ascii") as following:
        wait_until(lambda: following.shown().endswith("\n"), "it showed nothing", every=0.1)
        assert following.shown()[19:] == f" <- from {SEEDED_DESTINATION}: hola \\xf1\n"
        assert interrupted(following) == 0


def test_a_reader_that_goes_away_ends_it_without_a_traceback(api: SandboxServer, empty_sqlite: str) -> None:
    store(api, empty_sqlite, *map(str, range(5)))
    command = [sys.executable, "-m", "afilsql", "tail", "whatsapp", "100", "--json"]
    with subprocess.Popen(
        command, env=environment(empty_sqlite, "http://127.0.0.1:9/"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        process.wait(PATIENCE)
        assert b"Traceback" not in process.stderr.read()
        assert process.returncode == 1


def test_on_a_terminal_it_is_coloured_and_wrapped(api: SandboxServer, empty_sqlite: str) -> None:
    import pty

    store(api, empty_sqlite, "a word " * 40)
    seen = b""
    process, screen = pty.fork()
    if process == 0:
        environ = environment(empty_sqlite, "http://127.0.0.1:9/") | {"TERM": "xterm", "COLUMNS": "60", "LINES": "24"}
        command = [sys.executable, "-m", "afilsql", "tail", "whatsapp", "100", "--history", "1"]
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests in the background has it ignored
        os.execve(sys.executable, command, environ)
    while seen.count(b"word") < 40:
        seen += os.read(screen, 1000)
    os.write(screen, b"\x03")  # Ctrl+C, as it is typed
    _, status = os.waitpid(process, 0)
    os.close(screen)
    assert os.waitstatus_to_exitcode(status) == 0
    lines = seen.decode().split("\r\n")
    assert "\x1b[36m← from \x1b[0m" in "".join(lines)
    assert max(len(line) for line in lines if "a word" in line) <= 60


@pytest.mark.tsql
def test_an_outage_is_told_and_what_came_meanwhile_is_shown(empty_tsql: str) -> None:
    engine = create_engine(empty_tsql, autocommit=True)

    def write(text: str) -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "INSERT INTO afil.chat_message (account, platform, platformid, destination, message, sent, updated_at, "
                f"is_new) VALUES ('default', 'whatsapp', '100', '346', '{text}', 0, SYSUTCDATETIME(), 1)"
            )

    with (
        Proxy(port_of(empty_tsql)) as proxy,
        tail(through(empty_tsql, proxy), "--history", "5") as following,
    ):
        wait_until(lambda: "nothing is subscribed" in following.said(), "it did not start", PATIENCE, every=0.1)
        write("before")
        wait_until(lambda: "before" in following.shown(), "it did not follow", PATIENCE, every=0.1)
        well, proxy.plan = proxy.plan, lambda _n: Plan("request", 0, "cut")
        proxy.cut_all()
        wait_until(
            lambda: "following goes on once it is back" in following.said(), "it said nothing", PATIENCE, every=0.1
        )
        write("meanwhile")
        proxy.plan = well
        wait_until(lambda: "meanwhile" in following.shown(), "it did not come back", PATIENCE, every=0.1)
        assert "the database is back" in following.said()
        assert following.said().count("following goes on once it is back") == 1
        assert following.shown().count("before") == following.shown().count("meanwhile") == 1
        assert interrupted(following) == 0
    engine.dispose()
