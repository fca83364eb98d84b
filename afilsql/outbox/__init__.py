"""The database side: one protocol (base.py), two implementations that one contract suite holds together."""

from __future__ import annotations

from afilsql.outbox.base import Outbox

__all__ = ["Outbox", "open_outbox"]


def open_outbox(url: str) -> Outbox:
    """Open the outbox in a database: `sqlite:///file.db` (embedded) or `mssql+pyodbc://…` (SQL Server).

    Raises:
        ConfigError: The URL cannot be read or is for another kind of database.
        DriverMissing: A SQL Server URL, and pyodbc or the ODBC driver is not installed.
    """
    if url.startswith("sqlite"):
        from afilsql.outbox.sqlite import SqliteOutbox

        return SqliteOutbox(url)
    from afilsql.outbox.sqlserver import SqlServerOutbox

    return SqlServerOutbox(url)
