"""A real worker under a manager of services: what it tells over a real socket, frozen or not, and new settings."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from afilsql.outbox import open_outbox
from afilsql.outbox.engine import create_engine
from afilsql.sandbox.soap import wsdl
from tests.faults.manager import Manager
from tests.faults.processes import WORKER, SandboxProcess, WorkerProcess, ended, environment, sandbox, workers
from tests.faults.traffic import request, wait_until
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")

NOWHERE = "http://127.0.0.1:9/"


@contextmanager
def managed(database: str, api: str = NOWHERE, **settings: str) -> Iterator[tuple[WorkerProcess, Manager]]:
    """Run a worker that tells its manager every quarter of a second that its loop moves, and the manager."""
    with Manager() as manager:
        watched = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000"}
        with workers(1, database, api, command=WORKER, **watched, **settings) as (process,):
            yield process, manager


@contextmanager
def held(database: str) -> Iterator[None]:
    """Hold what every exchange needs, as a session with an open transaction does."""
    engine = create_engine(database)
    statement = "BEGIN EXCLUSIVE" if database.startswith("sqlite") else "EXEC afil.lock_line"
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
        yield
        connection.rollback()
    engine.dispose()


def test_a_worker_is_ready_after_its_first_exchange_then_pings_and_says_when_it_stops(empty_sqlite: str) -> None:
    with sandbox() as api, open_outbox(empty_sqlite) as outbox, managed(empty_sqlite, api.url) as (process, manager):
        outbox.enqueue_many([request(c, 1) for c in range(3)])
        ready = manager.until("READY")
        assert all("EXTEND_TIMEOUT_USEC" in states for states in manager.heard[:-1])
        assert ready["READY"] == "1"
        assert manager.until("WATCHDOG")["WATCHDOG"] == "1"
        while not manager.next()["STATUS"].startswith("delivering: 3 sent"):
            pass
        process.terminate()
        assert manager.until("STOPPING")["STOPPING"] == "1"
        ended(process)


def test_a_worker_whose_database_is_away_is_not_ready_and_asks_for_time_to_start(tmp_path: Path) -> None:
    away = "mssql+pyodbc://sa:none@127.0.0.1:9/none?timeout=1"
    with managed(away) as (process, manager):
        for _ in range(3):
            assert manager.until("EXTEND_TIMEOUT_USEC")["STATUS"] == "waiting for the database"
        assert not any("READY" in states or "WATCHDOG" in states for states in manager.heard)
        assert process.poll() is None


def test_a_loop_that_hangs_in_the_database_stops_the_pings(empty_outbox: str) -> None:
    with managed(empty_outbox) as (_process, manager):
        manager.until("READY")
        with held(empty_outbox):
            # While it waits for the lock, which it gives up after ten seconds each time, nothing is told.
            wait_until(lambda: manager.silence(4.0), "the pings went on", every=0.0)
        manager.until("WATCHDOG")


def test_a_process_that_is_stopped_stops_the_pings(empty_sqlite: str) -> None:
    with managed(empty_sqlite) as (process, manager):
        manager.until("WATCHDOG")
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: manager.silence(3.0), "the pings went on", every=0.0)
        process.send_signal(signal.SIGCONT)
        manager.until("WATCHDOG")


def write(file: Path, text: str) -> None:
    """Replace a settings file as a whole."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(file)


def test_at_sighup_new_settings_count_for_the_next_messages_and_the_old_ones_for_the_rest(
    empty_sqlite: str, tmp_path: Path
) -> None:
    file = tmp_path / "afilsql.toml"
    with (
        sandbox() as first,
        sandbox() as second,
        open_outbox(empty_sqlite) as outbox,
    ):
        write(file, f'api_url = "{first.url}"\nconcurrency = 2\n')
        with managed(empty_sqlite, "", AFILSQL_CONFIG=str(file), AFILSQL_CONCURRENCY="") as (process, manager):
            manager.until("READY")
            outbox.enqueue_many([request(c, 1) for c in range(4)])
            wait_until(lambda: first.count() == 4, "the first messages did not arrive")
            write(
                file,
                f'api_url = "{second.url}"\nconcurrency = 9\nlog_level = "debug"\nlease_seconds = 77\n'
                '[accounts.shop]\nuser = "demo"\npassword = "demo"\nrate = 50\n',
            )
            process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC" in manager.until("RELOADING")
            manager.until("READY")
            wait_until(lambda: process.events("settings_kept"), "it was not logged")
            (said,) = process.events("settings_reloaded")
            assert said["changed"] == ["accounts", "api_url", "concurrency", "log_level"]
            (kept,) = process.events("settings_kept")
            assert kept["settings"] == ["lease_seconds"]
            wait_until(lambda: "shop" in {a.name for a in outbox.known_accounts()}, "the account is not known")
            outbox.enqueue_many([request(c, 2) for c in range(9)])
            wait_until(lambda: second.count() == 9, "the next messages did not arrive at the new address")
            assert first.count() == 4
            assert process.events("claimed"), "debug lines are logged from now on"
            process.terminate()
            ended(process)


def test_at_sighup_a_new_wsdl_counts_though_its_setting_is_the_same(empty_sqlite: str, tmp_path: Path) -> None:
    file = tmp_path / "afilnet.wsdl"
    soap = {"AFILSQL_TRANSPORT": "soap", "AFILSQL_WSDL": str(file)}
    with sandbox() as first, sandbox() as second, open_outbox(empty_sqlite) as outbox:

        def describe(api: SandboxProcess) -> None:
            file.write_bytes(wsdl(api.url.replace("/http/", "/soap/")))

        describe(first)
        with managed(empty_sqlite, "", **soap) as (process, manager):
            manager.until("READY")
            outbox.enqueue_many([request(1, 1)])
            wait_until(lambda: first.count() == 1, "the first message did not arrive")
            describe(second)
            outbox.enqueue_many([request(1, 2)])
            wait_until(lambda: first.count() == 2, "the new WSDL was read unasked")
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: process.events("settings_reloaded"), "the settings were not read")
            outbox.enqueue_many([request(1, 3)])
            wait_until(lambda: second.count() == 1, "the next message did not go where the new WSDL says")
            assert first.count() == 2
            process.terminate()
            ended(process)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("concurrency = 0\n", "concurrency"),
        ("not toml", "not TOML"),
        ('[accounts.shop]\nuser = "demo"\n', "has no password"),
        ('api_url = "http://example.com/"\n', "http"),
    ],
)
def test_wrong_new_settings_change_nothing_and_are_said(empty_sqlite: str, tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "afilsql.toml"
    with sandbox() as api, open_outbox(empty_sqlite) as outbox:
        write(file, f'api_url = "{api.url}"\n')
        with managed(empty_sqlite, "", AFILSQL_CONFIG=str(file), AFILSQL_CONCURRENCY="") as (process, manager):
            manager.until("READY")
            write(file, text)
            process.send_signal(signal.SIGHUP)
            manager.until("RELOADING")
            manager.until("READY")
            wait_until(lambda: process.events("settings_refused"), "it was not logged")
            (refused,) = process.events("settings_refused")
            assert why in refused["detail"]
            outbox.enqueue_many([request(c, 1) for c in range(3)])
            wait_until(lambda: api.count() == 3, "the worker did not go on")
            process.terminate()
            ended(process)


def test_a_terminal_that_hangs_up_ends_the_worker_gently_even_if_it_writes_elsewhere(
    empty_sqlite: str, tmp_path: Path
) -> None:
    with sandbox(0.4) as api, open_outbox(empty_sqlite) as outbox:
        outbox.enqueue_many([request(c, 1) for c in range(30)])
        log = tmp_path / "log"
        pid, terminal = pty.fork()
        if pid == 0:
            with log.open("wb") as file:
                os.dup2(file.fileno(), 2)
            os.execve(sys.executable, [*WORKER], environment(empty_sqlite, api.url))
        wait_until(lambda: api.count() >= 8, "no call arrived")
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, log.read_text()
        counts = outbox.status().counts
        assert (counts["sending"], counts["uncertain"]) == (0, 0)
        assert counts["sent"] == api.count() < 30


def test_health_says_whether_the_loop_moves(empty_sqlite: str, tmp_path: Path) -> None:
    file = tmp_path / "pulse"

    def health(*options: str) -> tuple[int, str]:
        command = (sys.executable, "-m", "afilsql", "health", "--file", str(file), *options)
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout

    assert health() == (1, f"no worker has written {file}\n")
    with workers(1, empty_sqlite, NOWHERE, command=WORKER, AFILSQL_PULSE_FILE=str(file)) as (process,):
        wait_until(lambda: process.events("ready"), "it did not start")
        code, said = health("--ready")
        assert code == 0
        assert said.startswith("ready; the loop moved")
        process.terminate()
        ended(process)
    _, state = file.read_text().split()
    assert state == "stopping"
    file.write_text(f"{time.monotonic() - 121} {state}\n")
    assert health()[0] == 1
    file.write_text(f"{time.monotonic() - 1} starting\n")
    assert (health()[0], health("--ready")[0]) == (0, 1)
