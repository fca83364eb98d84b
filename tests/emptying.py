"""Give a test an empty T-SQL outbox without the cost of a new one: a migration is seconds of computing, this is not."""

from __future__ import annotations

import time
from typing import Any

from afilsql.outbox import schema
from tests.patience import PATIENCE

try:
    from pyodbc import Error as DriverError
except ImportError:  # no unixODBC here: the tests skip, but must still be collected and counted

    class DriverError(Exception):  # type: ignore[no-redef]
        """Stands in for pyodbc.Error."""


#: What a deployment writes and no test changes; settings, which some change, are put back.
_KEPT = (schema.error_code, schema.setting, schema.sql_object)
#: The statement of a process that was killed goes on, and an exchange would take the next test's rows.
_BUSY = """SELECT COUNT(*) FROM sys.dm_exec_sessions
WHERE database_id = DB_ID() AND session_id <> @@SPID AND status IN ('active', 'running')"""


class Emptying:
    """Calling it deletes every request and what came of them, and gives the settings the values they had at first.

    Args:
        connection: Of the driver's own, in autocommit, to a database that is new.
    """

    def __init__(self, connection: Any) -> None:
        self._cursor = connection.cursor()
        self._settings = self._read()

    def __call__(self) -> None:
        self._cursor.execute("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
        end = time.monotonic() + PATIENCE
        while self._cursor.execute(_BUSY).fetchone()[0]:
            assert time.monotonic() < end, "somebody is still at work in the tests' database"
            time.sleep(0.05)
        for table in reversed(schema.metadata.sorted_tables):
            if table not in _KEPT:
                self._delete(table.name)
        for name, value in self._settings.items() - self._read().items():
            self._cursor.execute("UPDATE afil.setting SET value = ? WHERE name = ?", value, name)

    def _read(self) -> dict[str, str]:
        return {r.name: r.value for r in self._cursor.execute("SELECT name, value FROM afil.setting").fetchall()}

    def _delete(self, table: str) -> None:
        try:
            self._cursor.execute(f"DELETE FROM afil.{table}")
        except DriverError:  # Babelfish 4.3 doubles the schema's name, once, when a plan it kept became invalid
            self._cursor.execute(f"DELETE FROM afil.{table}")
