"""Give a test an empty T-SQL outbox without the cost of a new one: a migration is seconds of computing, this is not."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

from afilsql.outbox import schema
from afilsql.sqlfiles import data_folder
from tests.patience import PATIENCE

try:
    from pyodbc import Error as DriverError
except ImportError:  # no unixODBC here: the tests skip, but must still be collected and counted

    class DriverError(Exception):  # type: ignore[no-redef]
        """Stands in for pyodbc.Error."""


#: What a deployment writes and no test changes, but for the values of settings.
_KEPT = (schema.error_code, schema.setting, schema.sql_object)
#: The statement of a process that was killed goes on, and an exchange would take the next test's rows.
_BUSY = """SELECT COUNT(*) FROM sys.dm_exec_sessions
WHERE database_id = DB_ID() AND session_id <> @@SPID AND status IN ('active', 'running')"""


def _settings() -> tuple[tuple[str, int, int, int, str], ...]:
    """The settings that the revisions make, in the order of their names."""
    found: list[tuple[str, int, int, int, str]] = []
    for path in (data_folder("migrations") / "versions").glob("*.py"):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += getattr(module, "SETTINGS", ())
    return tuple(sorted(found))


#: Name, value, lowest, highest and meaning of each.
SETTINGS = _settings()


def empty(cursor: Any) -> None:
    """Delete every request and what came of them, and give the settings the values they have in a new database.

    Args:
        cursor: Of the driver's own, in autocommit.
    """
    cursor.execute("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
    end = time.monotonic() + PATIENCE
    while cursor.execute(_BUSY).fetchone()[0]:
        assert time.monotonic() < end, "somebody is still at work in the tests' database"
        time.sleep(0.05)
    for table in reversed(schema.metadata.sorted_tables):
        if table not in _KEPT:
            _delete(cursor, table.name)
    values = {r.name: r.value for r in cursor.execute("SELECT name, value FROM afil.setting").fetchall()}
    for name, value, *_ in SETTINGS:
        if values[name] != str(value):
            cursor.execute("UPDATE afil.setting SET value = ? WHERE name = ?", str(value), name)


def _delete(cursor: Any, table: str) -> None:
    try:
        cursor.execute(f"DELETE FROM afil.{table}")
    except DriverError:  # Babelfish 4.3 doubles the schema's name, once, when a plan it kept became invalid
        cursor.execute(f"DELETE FROM afil.{table}")
