"""The database side: one protocol (base.py), two implementations that one contract suite holds together."""

from __future__ import annotations

from afilsql.outbox.base import Outbox

__all__ = ["Outbox", "open_outbox"]


def open_outbox(url: str, *, allow_private_urls: bool = False) -> Outbox:
    """Open the outbox in a database: `sqlite:///file.db` (embedded) or `mssql+pyodbc://…` (SQL Server).

    Args:
        url: The database.
        allow_private_urls: Queue files whose URL points to a private place; on SQL Server the setting of this name in
            the database must allow it too.

    Raises:
        ConfigError: The URL cannot be read or is for another kind of database.
        DriverMissing: A SQL Server URL, and pyodbc or the ODBC driver is not installed.
    """
    if url.startswith("sqlite"):
        from afilsql.outbox.sqlite import SqliteOutbox

        return SqliteOutbox(url, allow_private_urls=allow_private_urls)
    from afilsql.outbox.sqlserver import SqlServerOutbox

    return SqlServerOutbox(url, allow_private_urls=allow_private_urls)
