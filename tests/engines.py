"""Find a T-SQL engine for the tests: AFILSQL_TEST_URL, an installed Babelfish, a SQL Server container, or none."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from afilsql.outbox.engine import find_driver
from tests.patience import PATIENCE

PREFIX = Path(os.environ.get("AFILSQL_TEST_BABELFISH", "/opt/babelfish"))


class NoEngine(Exception):
    """No T-SQL engine can be had; the message says what was looked for."""


@contextmanager
def server() -> Iterator[tuple[str, str]]:
    """Yield (name, url of the server's master database) of the first engine that is there."""
    try:
        import pyodbc  # noqa: F401
    except ImportError as e:
        raise NoEngine(f"pyodbc cannot be loaded ({e}): on Debian and Ubuntu, apt-get install unixodbc") from None
    if url := os.environ.get("AFILSQL_TEST_URL"):
        yield "AFILSQL_TEST_URL", url
    elif (PREFIX / "bin" / "postgres").exists():
        with _babelfish() as url:
            yield "Babelfish", url
    elif shutil.which("docker") and subprocess.run(["docker", "info"], capture_output=True).returncode == 0:
        image = os.environ.get("AFILSQL_TEST_IMAGE", "mcr.microsoft.com/mssql/server:2022-latest")
        with _container(image) as url:
            yield image, url
    else:
        raise NoEngine(f"no AFILSQL_TEST_URL, no Babelfish under {PREFIX}, no Docker")


@contextmanager
def _container(image: str) -> Iterator[str]:
    """Start an image of SQL Server; ready when it answers a query, for where it keeps sqlcmd differs by version."""
    from testcontainers.core.container import DockerContainer

    password = f"Aa1-{secrets.token_hex(12)}"
    container = DockerContainer(image).with_exposed_ports(1433)
    for name, value in (("ACCEPT_EULA", "Y"), ("MSSQL_PID", "Developer"), ("MSSQL_SA_PASSWORD", password)):
        container = container.with_env(name, value)
    with container:
        url = sa.URL.create(
            "mssql+pyodbc",
            username="sa",
            password=password,
            host=container.get_container_host_ip(),
            port=int(container.get_exposed_port(1433)),
            database="master",
            query={"driver": _driver(), "TrustServerCertificate": "yes"},
        )
        _wait_until_it_answers(url, seconds=180)
        yield url.render_as_string(hide_password=False)


def _wait_until_it_answers(url: sa.URL, *, seconds: float) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": 5})
    give_up = time.monotonic() + seconds
    while True:
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
            return
        except sa.exc.DBAPIError:
            if time.monotonic() > give_up:
                raise
            time.sleep(1)


def _driver() -> str:
    import pyodbc

    return find_driver(pyodbc.drivers())


@contextmanager
def database(server_url: str) -> Iterator[str]:
    """Yield the URL of a new database on the server; it is dropped at the end.

    Its statements may take long: Babelfish gives up what it compiled with the statement that took too long, so on a
    loaded machine a first exchange that is cut off at twenty seconds is cut off every time.
    """
    name = f"afil_{secrets.token_hex(6)}"
    url = sa.make_url(server_url)
    if "driver" not in url.query:
        url = url.update_query_dict({"driver": _driver()})
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        patient = url.set(database=name).update_query_dict({"timeout": f"{PATIENCE:.0f}"})
        yield patient.render_as_string(hide_password=False)
    finally:
        _drop(engine, name)


def _drop(engine: sa.Engine, name: str) -> None:
    """Drop a database; the session of a process that was killed is in it until the statement at hand ends."""
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
            return
        except sa.exc.DBAPIError as e:
            if "in use" not in str(e) or time.monotonic() > give_up:
                raise
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Babelfish:
    """A server of the test's own in a folder; PostgreSQL refuses root, so an ordinary user runs it.

    Args:
        folder: An empty one, for everything but the log of transactions.
        log_folder: For that log; None puts it with the data.

    Attributes:
        url: Of its master database, once started.
    """

    def __init__(self, folder: Path, log_folder: Path | None = None) -> None:
        self._folder, self._data = folder, folder / "data"
        self._tds, self._postgres, password = _free_port(), _free_port(), secrets.token_hex(12)
        self.url = f"mssql+pyodbc://tester:{password}@127.0.0.1:{self._tds}/master?Encrypt=no"
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        for one in (folder, log_folder):
            if os.geteuid() == 0 and one is not None:
                shutil.chown(one, self._user.pw_uid, self._user.pw_gid)
        elsewhere = ("-X", str(log_folder / "wal")) if log_folder else ()
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", *elsewhere)
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.write(
                f"listen_addresses = '127.0.0.1'\nport = {self._postgres}\nunix_socket_directories = '{folder}'\n"
                "shared_preload_libraries = 'babelfishpg_tds'\nbabelfishpg_tds.listen_addresses = '127.0.0.1'\n"
                f"babelfishpg_tds.port = {self._tds}\nfsync = off\nautovacuum = off\nmax_connections = 200\n"
            )
        self.start()
        try:
            self.psql(
                f"""
                CREATE USER tester WITH SUPERUSER CREATEDB CREATEROLE PASSWORD '{password}' INHERIT;
                CREATE DATABASE babelfish_db OWNER tester;
                \\c babelfish_db
                CREATE EXTENSION babelfishpg_tds CASCADE;
                GRANT ALL ON SCHEMA sys TO tester;
                ALTER SYSTEM SET babelfishpg_tsql.database_name = 'babelfish_db';
                ALTER DATABASE babelfish_db SET babelfishpg_tsql.migration_mode = 'multi-db';
                SELECT pg_reload_conf();
                CALL sys.initialize_babelfish('tester');
                """
            )
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self._data / "log"), "-w", "start")

    def stop(self) -> None:
        """Stop it as a crash would: nobody is waited for, nothing is written."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")

    def psql(self, text: str) -> None:
        """Run statements of PostgreSQL as its superuser."""
        where = ("-h", str(self._folder), "-p", str(self._postgres), "-U", "postgres")
        self._run("psql", *where, "-q", "-v", "ON_ERROR_STOP=1", text=text)

    def _run(self, program: str, *arguments: str, text: str | None = None) -> None:
        root = os.geteuid() == 0
        as_user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []} if root else {}
        done = subprocess.run(
            [str(PREFIX / "bin" / program), *arguments],
            input=text,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            cwd=self._folder,
            env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(PREFIX / "lib"), "HOME": str(self._folder)},
            **as_user,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr or (self._data / 'log').read_text()[-2000:]}")


@contextmanager
def _babelfish() -> Iterator[str]:
    """Start a server of its own in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="afilsql-engine-"))
    try:
        made = Babelfish(folder)
        try:
            yield made.url
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
