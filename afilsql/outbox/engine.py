"""Engines, and the one place where driver errors become ours: pyodbc never leaks above outbox/."""

from __future__ import annotations

import math
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy import exc

from afilsql.errors import (
    ConfigError,
    DatabaseError,
    DatabaseUnavailable,
    DriverMissing,
    InvalidParameter,
    QuotaExceeded,
    RequestNotFound,
    SchemaOutOfDate,
)
from afilsql.outbox.encryption import encrypted

#: Where the tables and their code are on SQL Server; SQLite has no schemas.
SCHEMA = "afil"

#: Errors of SQL Server and Azure SQL that pass by themselves. Source: Microsoft's list of transient errors,
#: with deadlock (1205), lock timeout (1222) and our own "busy" (51010).
TRANSIENT = frozenset(
    {1205, 1222, 20, 64, 121, 233, 4060, 10053, 10054, 10060, 10928, 10929, 40143, 40197, 40501, 40613}
    | {49918, 49919, 49920, 51010}
)
#: Read-only, being recovered, out of space or log: wrong with the database as a whole, so no result is given up for it.
_OUT_OF_ORDER = frozenset({922, 927, 945, 1101, 1105, 3906, 9001, 9002})
_UNUSABLE = (
    *("database is locked", "unable to open", "readonly database", "disk is full", "disk I/O error"),
    *("Communication link", "terminating", "read-only transaction", "could not extend", "No space left"),
)
_MISSING = ("no such table", "no such column", "does not exist")
_MISSING_OBJECT = frozenset({207, 208, 2812})  # a column, a table, a procedure
#: Where a server's error text quotes a value, which may be a message: truncation, a key twice, a conversion.
_QUOTED_VALUE = re.compile(
    r"(Truncated value: |key value is |converting the \w+ value |invalid input syntax for type [\w ]+: ).*", re.DOTALL
)
_ERRORS: dict[int, type[DatabaseError]] = {51001: InvalidParameter, 51002: RequestNotFound, 51005: QuotaExceeded}

#: Seconds that SQL Server gets for a login and for one statement of the outbox, unless the URL says `?timeout=`.
#: Without them a connection that a firewall drops without a word blocks its thread for ever. The driver waits twice
#: as long again for the server to confirm that it gave up. An exchange waits at most ten seconds for its lock.
LOGIN_TIMEOUT, STATEMENT_TIMEOUT = 15, 20
#: Seconds that one who writes to an embedded outbox waits for another.
_SQLITE_WAIT = 10.0
_SQL_WLONGVARCHAR = -10  # nvarchar(max) and ntext, as ODBC's headers number it

INSTALL_DRIVER = (
    "On Debian and Ubuntu: `apt-get install unixodbc` and `pip install 'afilsql[odbc]'`. "
    "On Windows: install Microsoft's ODBC Driver 18 for SQL Server."
)


def create_engine(url: str, *, autocommit: bool = False) -> sa.Engine:
    """Make an engine for `sqlite:///…` or `mssql+pyodbc://…`.

    A `mssql+pyodbc` URL that names no driver gets the first that is there: Microsoft's ODBC driver 18 or 17
    as installed, else the one inside the wheel `mssql-python-odbc`. Connections are encrypted unless the URL says
    otherwise; the engine's own URL holds no password. With autocommit, SQL Server's connections leave transactions to
    the procedures, and no statement takes longer than STATEMENT_TIMEOUT, or than the seconds that `?timeout=` in the
    URL gives; without (deployments, reports) only the login is limited.

    Raises:
        ConfigError: The URL cannot be read or is for another kind of database.
        DriverMissing: pyodbc cannot be loaded or there is no ODBC driver.
    """
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):  # the latter for a port, and may quote part of a password
        raise ConfigError(
            "AFILSQL_DATABASE_URL is not a database URL: write sqlite:///file.db or "
            "mssql+pyodbc://user:password@server:1433/database"
        ) from None
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite_engine(parsed)
        case "mssql":
            return _mssql_engine(parsed, autocommit)
        case other:
            raise ConfigError(f"AFILSQL_DATABASE_URL names a {other} database: afilsql runs on mssql+pyodbc and sqlite")


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("AFILSQL_DATABASE_URL names no file: the worker is another process, write sqlite:///file.db")
    if not Path(url.database).absolute().parent.is_dir():
        raise ConfigError(f"the folder of the database file '{url.database}' does not exist: create it first")
    engine = sa.create_engine(
        url, hide_parameters=True, connect_args={"timeout": _SQLITE_WAIT, "check_same_thread": False}
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.text_factory = lambda raw: raw.decode(
            "utf-8", "surrogateescape"
        )  # bad bytes must not end an exchange
        connection.isolation_level = None  # afilsql says BEGIN itself: IMMEDIATE where it will write
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine.execution_options(schema_translate_map={SCHEMA: None})


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work side by side; who opens a new file as another does is told so without a wait."""
    give_up = time.monotonic() + _SQLITE_WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as e:
            if "locked" not in str(e) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _mssql_engine(url: sa.URL, autocommit: bool) -> sa.Engine:
    if url.get_driver_name() != "pyodbc":
        raise ConfigError(f"AFILSQL_DATABASE_URL uses the driver {url.get_driver_name()}: write mssql+pyodbc://…")
    try:
        import pyodbc
    except ImportError as e:
        raise DriverMissing(f"pyodbc cannot be loaded ({e}). {INSTALL_DRIVER}") from None
    pyodbc.pooling = False  # SQLAlchemy pools; two pools would hide broken connections from each other
    query = dict(url.query)
    if not any(k in query for k in ("driver", "odbc_connect")):
        query["driver"] = find_driver(pyodbc.drivers())
    seconds = _seconds(query.pop("timeout", STATEMENT_TIMEOUT))
    real = encrypted(url.set(query=query))
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
    options |= {"hide_parameters": True, "pool_recycle": 1800, "use_setinputsizes": False}
    engine = sa.create_engine(_without_password(real), connect_args={"timeout": min(LOGIN_TIMEOUT, seconds)}, **options)
    (connect, *_), _ = engine.dialect.create_connect_args(real)
    secret = SecretStr(connect)

    @sa.event.listens_for(engine, "do_connect")
    def log_in(_dialect: object, _record: object, arguments: list[Any], _options: object) -> None:
        arguments[0] = secret.get_secret_value()

    if autocommit:

        @sa.event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: object) -> None:
            connection.timeout = seconds
            for kind in (pyodbc.SQL_WCHAR, pyodbc.SQL_WVARCHAR, _SQL_WLONGVARCHAR):
                connection.add_output_converter(kind, text_of)

    return engine


def _without_password(url: sa.URL) -> sa.URL:
    """What an engine may show of its URL, in its repr and wherever that goes."""
    hidden = {name: "***" for name in url.query if name.lower() in ("odbc_connect", "pwd", "password")}
    return url.set(password="***" if url.password else None).update_query_dict(hidden)


def text_of(raw: bytes | None) -> str | None:
    """Return nvarchar as the driver reads it (UTF-16) as text; half a surrogate pair becomes U+FFFD.

    LEFT and SUBSTRING cut emoji in two, and pyodbc by itself raises at such a row, whoever's it is.
    """
    return None if raw is None else raw.decode("utf-16-le", "replace")


def _seconds(value: object) -> int:
    if not str(value).isascii() or not str(value).isdigit() or not 1 <= int(str(value)) <= 3600:
        raise ConfigError("the timeout in AFILSQL_DATABASE_URL is not a whole number of seconds from 1 to 3600")
    return int(str(value))


def find_driver(installed: list[str]) -> str:
    """The name or path of an ODBC driver for SQL Server.

    Raises:
        DriverMissing: There is none.
    """
    for name in ("ODBC Driver 18 for SQL Server", "ODBC Driver 17 for SQL Server"):
        if name in installed:
            return name
    try:
        import mssql_python_odbc
    except ImportError:
        raise DriverMissing(f"there is no ODBC driver for SQL Server here. {INSTALL_DRIVER}") from None
    from platform import freedesktop_os_release, machine

    like = " ".join(freedesktop_os_release().get(k, "") for k in ("ID", "ID_LIKE"))
    family = next((f for f in ("alpine", "suse", "rhel") if f in like), "debian_ubuntu")
    arch = {"x86_64": "x86_64", "aarch64": "arm64"}.get(machine(), machine())
    libs = Path(mssql_python_odbc.__file__).parent / "libs" / "linux" / family / arch / "lib"
    found = sorted(libs.glob("libmsodbcsql-18*.so*"))
    if not found:
        raise DriverMissing(f"the wheel mssql-python-odbc holds no driver for this machine. {INSTALL_DRIVER}")
    return str(found[-1])


@contextmanager
def driver_cursor(engine: sa.Engine, patience: float = 0.0) -> Iterator[Any]:
    """A pyodbc cursor of an engine in autocommit; errors leave as ours, and but for refusals the connection with them.

    Args:
        engine: From `create_engine`.
        patience: Seconds that a statement may take beyond what the engine's may.
    """
    with translated(), engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        usual = raw.timeout
        try:
            raw.timeout = usual + math.ceil(patience)
            cursor = raw.cursor()
            yield cursor
            cursor.close()
            raw.timeout = usual
        except Exception as e:
            if is_refusal(e):
                cursor.close()
                raw.timeout = usual
            else:
                connection.invalidate()  # a half-read connection must never go back
            if is_driver_error(e):
                raise exc.DBAPIError(None, None, e) from None
            raise


@contextmanager
def translated() -> Iterator[None]:
    """Turn what SQLAlchemy and pyodbc raise into the tree of afilsql.errors."""
    try:
        yield
    except exc.DBAPIError as e:
        raise translate(e.orig or e, broken=e.connection_invalidated) from None
    except exc.SQLAlchemyError as e:
        raise DatabaseError(f"the database layer failed: {e}") from None


def translate(error: BaseException, *, broken: bool = False) -> DatabaseError:
    """Our error for a driver's error; its number decides, then its SQLSTATE."""
    state = str(error.args[0]) if error.args else ""
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    number = _number(text)
    message = _message(text)
    if number is not None and number in _ERRORS:
        return _ERRORS[number](message)
    if "Can't open lib" in text or state == "IM002":
        return DriverMissing(f"the ODBC driver cannot be loaded: {message}. {INSTALL_DRIVER}")
    if number in _MISSING_OBJECT or state == "42S02" or any(t in text for t in _MISSING):
        return SchemaOutOfDate(f"{SchemaOutOfDate.__doc__} ({message})")
    lost = (
        broken
        or number in TRANSIENT | _OUT_OF_ORDER
        or state.startswith("08")
        or state in ("HYT00", "HYT01", "40001", "01002")
    )
    if lost or any(s in text for s in _UNUSABLE):
        return DatabaseUnavailable(f"the outbox database cannot be used right now: {message}")
    return DatabaseError(f"the outbox database refused a statement: {message}")


def is_driver_error(error: BaseException) -> bool:
    """True for what pyodbc raises, which may be missing."""
    return any(c.__module__ == "pyodbc" for c in type(error).__mro__)


def is_refusal(error: BaseException) -> bool:
    """True where one of our procedures refused what it was asked before it did anything: all else is as before."""
    return is_driver_error(error) and len(error.args) > 1 and _number(str(error.args[1])) in _ERRORS


def _number(text: str) -> int | None:
    found = re.findall(r"\((\d+)\) \(SQL", text)
    return int(found[0]) if found else None


def _message(text: str) -> str:
    """The server's own words, without the ODBC layers' prefixes and suffix, and without values of rows."""
    first = re.split(r"\s\(\d+\)\s\(SQL", text, maxsplit=1)[0]
    return _QUOTED_VALUE.sub(r"\1…", re.sub(r"^(\[[^\]]*\]\s*)+", "", first)).strip()
