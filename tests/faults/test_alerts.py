"""Real commands and a real web server get alerts, and neither can hold a worker up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from afilsql.delivery import events
from afilsql.delivery.alerter import Alerter, CommandHook, UrlHook
from afilsql.deploy import migrate
from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from tests.faults.processes import ended, environment, workers
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="shell scripts and process groups")

HELD = events.AccountHeld("shop", "INCORRECT_USER_PASSWORD", "to 34600000000")


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    migrate(url)
    return url


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.005)


def ignore_failure(hook: str, why: str, untold: int) -> None:
    raise AssertionError(f"{hook} {why}")


@contextmanager
def listening(status: int = 204, wait: threading.Event | None = None) -> Iterator[tuple[str, list[Any]]]:
    """A web server that keeps what is posted to it."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if wait is not None:
                wait.wait(PATIENCE)
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token", got
        finally:
            if wait is not None:
                wait.set()
            server.shutdown()
            thread.join()


def test_a_worker_tells_a_command_and_an_address_of_a_held_account(database: str, tmp_path: Path) -> None:
    out = tmp_path / "got.json"
    script = tmp_path / "tell"
    script.write_text(f'#!/bin/sh\n{{ echo "$# $1"; env; cat; }} > {out}\n')
    script.chmod(0o755)
    chat = {"platform": "whatsapp", "platformid": "100", "destination": "34600000000", "message": "Zephyr4711"}
    with open_outbox(database) as outbox:
        outbox.enqueue_many([Request("sendmessage", chat)] * 3)
    with listening() as (url, posted), SandboxServer(accounts={"demo": "changed"}) as api:
        settings = {"AFILSQL_ALERT_COMMAND": json.dumps([str(script), "a $(b)"]), "AFILSQL_ALERT_URL": url}
        with workers(1, database, api.url, **settings) as (process,):
            ended(process)
            log = process.said()
    (alert,) = posted
    arguments, *environ, line = out.read_text().splitlines()
    assert json.loads(line) == alert
    assert arguments == "1 a $(b)", "the alert is not among the arguments, and no shell has read them"
    assert not any(variable.startswith("AFILSQL_") for variable in environ), "the environment's secrets stay"
    assert alert["alert"] == "account_held"
    assert (alert["account"], alert["worker"], alert["left_out"]) == ("default", "worker-0", 0)
    assert alert["code"] == "INCORRECT_USER_PASSWORD"
    assert datetime.fromisoformat(alert["at"]).tzinfo == UTC
    assert "Zephyr4711" not in line and "34600000000" not in line and '"demo"' not in line
    assert "alert_failed" not in log


@pytest.mark.parametrize("status", [500, 302])
def test_an_address_that_does_not_take_alerts_is_a_warning_without_the_address(status: int) -> None:
    told: list[tuple[str, str, int]] = []
    with listening(status) as (url, posted):
        alerter = Alerter([UrlHook(url)], worker="w", on_failure=lambda *said: told.append(said))
        alerter.notice(HELD)
        alerter.close(5)
        assert len(posted) == 1
    assert told == [("alert_url", f"answered HTTP {status}", 0)]


def test_an_address_nobody_listens_at_is_a_warning_without_the_address() -> None:
    told: list[str] = []
    hook = UrlHook("http://127.0.0.1:9/token")
    alerter = Alerter([hook], worker="w", on_failure=lambda name, why, untold: told.append(why))
    alerter.notice(HELD)
    alerter.close(5)
    assert len(told) == 1
    assert "cannot be reached" in told[0]
    assert "token" not in told[0]


def test_an_address_that_does_not_answer_is_given_up() -> None:
    told: list[str] = []
    with listening(wait=threading.Event()) as (url, _):
        alerter = Alerter(
            [UrlHook(url, timeout=0.4)], worker="w", on_failure=lambda name, why, untold: told.append(why)
        )
        alerter.notice(HELD)
        wait_for(lambda: told)
        alerter.close(5)
    assert told == ["did not answer within 0.2 s"]


def test_a_failing_hook_is_told_of_once_a_minute_with_the_number_of_the_others() -> None:
    told: list[tuple[str, str, int]] = []
    seconds = [0.0]
    alerter = Alerter(
        [CommandHook(["/bin/false"])],
        worker="w",
        on_failure=lambda *said: told.append(said),
        monotonic=lambda: seconds[0],
    )
    for n in range(3):
        alerter.notice(events.AccountHeld(f"shop {n}", None, None))
    wait_for(lambda: told and alerter._failures["alert_command"].untold == 2)
    seconds[0] = 61.0
    alerter.notice(events.AccountHeld("last", None, None))
    alerter.close(5)
    assert told == [("alert_command", "ended with 1", 0), ("alert_command", "ended with 1", 2)]


def alive(pid: int) -> bool:
    """True unless the process is gone, or only its parent has not taken note yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def hanging(folder: Path) -> tuple[list[str], Path]:
    """A command that starts a child and hangs with it, and where it writes both their ids."""
    pids = folder / "pids"
    return ["/bin/sh", "-c", f"sleep 300 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait"], pids


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    command, pids = hanging(tmp_path)
    told: list[str] = []
    alerter = Alerter(
        [CommandHook(command, timeout=3)], worker="w", on_failure=lambda name, why, untold: told.append(why)
    )
    alerter.notice(HELD)
    assert not told, "delivery does not wait"
    wait_for(lambda: told)
    assert told == ["was killed after 3 s"]
    both = [int(pid) for pid in pids.read_text().split()]
    assert len(both) == 2
    wait_for(lambda: not any(map(alive, both)))
    alerter.close(5)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_a_worker_ends_though_its_command_hangs_and_leaves_no_process(database: str, tmp_path: Path) -> None:
    command, pids = hanging(tmp_path)
    chat = {"platform": "whatsapp", "platformid": "100", "destination": "34600000000", "message": "[sandbox:500] x"}
    with open_outbox(database) as outbox:
        outbox.enqueue_many([Request("sendmessage", chat | {"destination": f"3460000{n:04}"}) for n in range(50)])
    began = time.monotonic()
    with SandboxServer() as api:
        hook = {"AFILSQL_ALERT_COMMAND": json.dumps(command), "AFILSQL_BREAKER_CALLS": "0"}
        with workers(1, database, api.url, **hook) as (process,):
            ended(process)
        assert time.monotonic() - began < 200, "the command would take 300"
    with open_outbox(database) as outbox:
        assert outbox.status().counts["uncertain"] == 50
    wait_for(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))


@pytest.mark.parametrize("program", ["/no/such/program", "no-such-program", __file__])
def test_a_command_that_cannot_be_run_is_said_at_the_start(database: str, program: str) -> None:
    environ = environment(database, "http://127.0.0.1:9/", AFILSQL_ALERT_COMMAND=json.dumps([program]))
    done = subprocess.run(
        [sys.executable, "-m", "afilsql", "worker", "--drain"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 3
    assert "AFILSQL_ALERT_COMMAND" in done.stderr
    assert program in done.stderr


def test_a_command_that_reads_nothing_and_one_that_vanished_are_no_trouble(tmp_path: Path) -> None:
    told: list[str] = []
    for command in (["/bin/true"], [str(tmp_path / "vanished")]):
        alerter = Alerter([CommandHook(command)], worker="w", on_failure=lambda name, why, untold: told.append(why))
        alerter.notice(HELD)
        alerter.close(5)
    assert told == ["cannot be started (No such file or directory)"]


def test_a_database_that_stays_away_is_told_of_without_any_further_event(tmp_path: Path) -> None:
    seconds = [0.0]
    with listening() as (url, posted):
        alerter = Alerter([UrlHook(url)], worker="w", on_failure=ignore_failure, monotonic=lambda: seconds[0])
        alerter.notice(events.DatabaseLost("Login failed for user 'sa'"))
        seconds[0] = 61.0
        alerter.notice(events.Stopping(0))  # any event wakes the thread; the time that has passed is what counts
        wait_for(lambda: posted)
        alerter.notice(events.DatabaseBack(70.0))
        alerter.close(5)
    assert [p["alert"] for p in posted] == ["database_lost", "database_back"]
    assert "sa" not in json.dumps(posted[0]["text"]).split()


def test_of_several_databases_each_has_its_own_alerts_which_name_it() -> None:
    seconds = [0.0]
    with listening() as (url, posted):
        alerter = Alerter([UrlHook(url)], worker="w", on_failure=ignore_failure, monotonic=lambda: seconds[0])
        for database in ("sales", "support"):
            alerter.notice(HELD, database)
            alerter.notice(events.DatabaseLost("gone"), database)
        alerter.notice(events.DatabaseBack(3.0), "support")
        seconds[0] = 61.0
        alerter.notice(events.Stopping(0), "sales")
        wait_for(lambda: len(posted) == 3)
        alerter.close(5)
    assert [(p["alert"], p["database"]) for p in posted] == [
        ("account_held", "sales"),
        ("account_held", "support"),
        ("database_lost", "sales"),
    ]
    assert posted[2]["text"].startswith("afilsql, worker w, database sales: The database has not answered")


def test_a_single_database_is_not_named() -> None:
    with listening() as (url, posted):
        alerter = Alerter([UrlHook(url)], worker="w", on_failure=ignore_failure)
        alerter.notice(HELD)
        alerter.close(5)
    assert posted[0]["database"] is None
    assert posted[0]["text"].startswith("afilsql, worker w: The account")
