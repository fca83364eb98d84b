"""The database crashes, is read-only, or has no room left, in the middle of traffic, and is well again later."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from afilsql.deploy import migrate
from afilsql.errors import DatabaseUnavailable
from afilsql.outbox import open_outbox
from tests import engines
from tests.faults.processes import WORKER, WorkerProcess, ended, sandbox, workers
from tests.faults.traffic import Producer, audit, drained, emptied, request, wait_until

pytestmark = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="mounts a file system of its own")


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of this size on a folder; skip where that is not permitted."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "afilsql-test", str(folder)])
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on a disk; return the file to delete for getting it back."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)):
                pass
        except OSError:
            pass
    return ballast


@contextmanager
def telling(process: WorkerProcess) -> Iterator[None]:
    """Have a failure say what the worker said last."""
    try:
        yield
    except AssertionError as failure:
        failure.add_note(process.said()[-2000:])
        raise


def disturbed(database: str, trouble: Callable[[Producer, WorkerProcess], None]) -> list[str]:
    """Let a worker deliver, bring trouble, let it pass; nothing may be lost, sent twice, or be left in doubt.

    Returns:
        What the worker said of it, a line each.
    """
    with (
        sandbox(0.03) as api,
        open_outbox(database) as outbox,
        workers(1, database, api.url, command=WORKER, AFILSQL_LEASE_SECONDS="60") as (process,),
    ):
        with Producer(database, conversations=30, rate=60) as producer:
            with telling(process):
                wait_until(lambda: api.count() > 10, "nothing arrived")
            trouble(producer, process)
            assert process.poll() is None, process.said()[-2000:]
            came = api.count()
            with telling(process):
                wait_until(lambda: api.count() > came + 5, "the worker did not go on by itself")
        wait_until(lambda: drained(outbox), f"not drained: {process.said()[-800:]}", every=0.2)
        process.terminate()
        ended(process)
        assert process.events("database_back")
        lost = [str(event["detail"]) for event in process.events("database_lost")]
        found = audit(outbox, producer.accepted, api.received())
        assert found.flawless(), found
    return lost


def test_an_embedded_outbox_without_room_is_sat_out(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 6) as disk:
        database = f"sqlite:///{disk / 'outbox.db'}"
        migrate(database)

        def trouble(producer: Producer, process: WorkerProcess) -> None:
            ballast = fill(disk)
            wait_until(lambda: producer.refused and process.events("database_lost"), "nobody noticed")
            time.sleep(1)
            ballast.unlink()
            assert "full" in str(producer.refused[0]) or "I/O" in str(producer.refused[0])

        said = disturbed(database, trouble)
    assert all("\n" not in line and "cannot be used right now" in line for line in said), said


def test_an_embedded_outbox_that_was_read_only_is_used_again_later(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    migrate(f"sqlite:///{path}")
    if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", str(path)], capture_output=True).returncode:
        pytest.skip("the file system knows no immutable files")
    try:
        with open_outbox(f"sqlite:///{path}") as outbox:
            with pytest.raises(DatabaseUnavailable, match="readonly"):
                outbox.enqueue(request(0, 1))
            subprocess.run(["chattr", "-i", str(path)], check=True)
            assert outbox.enqueue(request(0, 1)) == 1
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


@dataclass
class Private:
    """A T-SQL engine of the tests' own."""

    engine: engines.Babelfish
    database: str
    disk: Path

    def emptied(self) -> str:
        """Return the URL of its database, with nothing in the outbox.

        Whoever hangs on a connection that trouble left half open gives up after three times the URL's time-out.
        """
        emptied(self.database)
        return sa.make_url(self.database).update_query_dict({"timeout": "45"}).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Private]:
    if not (engines.PREFIX / "bin" / "postgres").exists():
        pytest.skip(f"no T-SQL engine: no Babelfish under {engines.PREFIX} to crash")
    folder = Path("/tmp") / f"afilsql-{os.getpid()}"  # pytest's own folders are closed to the server's user
    folder.mkdir(mode=0o755)
    log = Path(f"{folder}-log")
    log.mkdir(mode=0o755)
    try:
        with small_disk(folder / "disk", 700) as disk:
            engine = engines.Babelfish(disk, log)
            try:
                with engines.database(engine.url) as database:
                    migrate(database)
                    yield Private(engine, database, disk)
            finally:
                engine.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(log, ignore_errors=True)


@pytest.mark.tsql
def test_a_database_server_that_crashes_and_comes_back_is_sat_out(private: Private) -> None:
    def trouble(producer: Producer, process: WorkerProcess) -> None:
        private.engine.stop()
        wait_until(lambda: producer.refused and process.events("database_lost"), "nobody noticed")
        time.sleep(0.5)
        private.engine.start()

    disturbed(private.emptied(), trouble)


@pytest.mark.tsql
def test_a_database_server_that_turns_read_only_is_sat_out(private: Private) -> None:
    def trouble(producer: Producer, process: WorkerProcess) -> None:
        theirs = "pid <> pg_backend_pid() AND usename = 'tester'"
        cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {theirs};"
        private.engine.psql(f"ALTER DATABASE babelfish_db SET default_transaction_read_only = on; {cut}")
        wait_until(
            lambda: any("read-only" in str(e) for e in producer.refused), f"nobody noticed: {producer.refused[-1:]}"
        )
        time.sleep(1)
        on = "SET default_transaction_read_only = off; ALTER DATABASE babelfish_db RESET default_transaction_read_only;"
        private.engine.psql(f"{on} {cut}")

    disturbed(private.emptied(), trouble)


@pytest.mark.tsql
def test_a_database_server_without_room_is_sat_out(private: Private) -> None:
    def trouble(producer: Producer, process: WorkerProcess) -> None:
        ballast = fill(private.disk)
        wait_until(lambda: producer.refused and process.events("database_lost"), "nobody noticed")
        time.sleep(0.5)
        ballast.unlink()
        said = str(producer.refused[0])
        assert "could not" in said or "No space" in said, said

    disturbed(private.emptied(), trouble)
