"""Take everything of afilsql out of a database: the triggers on users' tables first, the schema last.

What there is to remove is read from the catalog, so that what an earlier version left goes as well.
"""

from __future__ import annotations

import sqlalchemy as sa

from afilsql.deploy import locked
from afilsql.errors import ConfigError, InvalidParameter
from afilsql.outbox import schema
from afilsql.outbox.engine import create_engine, translated

ROLES = ("afil_sender", "afil_reader", "afil_worker", "afil_operator")

#: T-SQL that returns one DROP statement a row, in the order in which they run.
_OBJECTS = """
SELECT 'DROP TRIGGER ' + QUOTENAME(n.table_schema) + '.' + QUOTENAME(r.name) + ';'
FROM afil.notification AS n
INNER JOIN sys.triggers AS r
    ON r.parent_id = OBJECT_ID(CONCAT(QUOTENAME(n.table_schema), N'.', QUOTENAME(n.table_name)))
        AND r.name = N'afil_' + n.name
"""
_DROP = {"P": "PROCEDURE", "V": "VIEW", "FN": "FUNCTION", "IF": "FUNCTION", "TF": "FUNCTION"}


def statements(url: str) -> list[str]:
    """The statements that remove afilsql from the database, in order.

    Raises:
        ConfigError: The database is a SQLite file, or afilsql is not in it.
        DatabaseError: It cannot be read.
    """
    engine = create_engine(url)
    if engine.dialect.name != "mssql":
        raise ConfigError("the embedded outbox is one file: to remove it, delete the file")
    try:
        with translated(), engine.connect() as connection:
            return _statements(connection)
    finally:
        engine.dispose()


def uninstall(url: str, *, discard: bool = False) -> list[str]:
    """Remove afilsql in one transaction; return the statements that did it.

    Args:
        url: The database.
        discard: Remove it although requests are still on their way.

    Raises:
        ConfigError: The database is a SQLite file, or afilsql is not in it.
        InvalidParameter: Requests are on their way and `discard` is False; nothing was changed.
        DatabaseError: The database refused a statement; nothing was changed.
    """
    statements(url)  # refuses before the lock, which would make the schema
    with locked(url) as connection:
        waiting = connection.exec_driver_sql(
            "SELECT COUNT(*) FROM afil.outbox WHERE status IN ('queued', 'scheduled', 'sending')"
        ).scalar()
        if waiting and not discard:
            raise InvalidParameter(
                f"{waiting} requests are still on their way: let `afilsql worker --drain` deliver them, "
                "or add --discard to lose them"
            )
        done = _statements(connection)
        for statement in done:
            connection.exec_driver_sql(statement)
    return done


def _statements(connection: sa.Connection) -> list[str]:
    def column(sql: str) -> list[str]:
        return [str(row[0]) for row in connection.exec_driver_sql(sql)]

    if connection.exec_driver_sql("SELECT OBJECT_ID(N'afil.outbox')").scalar() is None:
        raise ConfigError("afilsql is not in this database: nothing to remove")
    has_notifications = connection.exec_driver_sql("SELECT OBJECT_ID(N'afil.notification')").scalar() is not None
    found = column(_OBJECTS) if has_notifications else []
    objects = connection.exec_driver_sql(
        "SELECT RTRIM(type), name FROM sys.objects WHERE schema_id = SCHEMA_ID(N'afil') "
        "AND type IN ('P', 'V', 'FN', 'IF', 'TF') ORDER BY type, object_id DESC"
    ).fetchall()
    # The newest first: an object is made after those it is built on.
    for kinds in (("P",), ("V",), ("FN", "IF", "TF")):
        found += [f"DROP {_DROP[kind]} [afil].[{name}];" for kind, name in objects if kind in kinds]
    tables = {t.name for t in schema.metadata.tables.values()} | {"alembic_version"}
    there = column("SELECT name FROM sys.tables WHERE schema_id = SCHEMA_ID(N'afil') ORDER BY name")
    found += [f"DROP TABLE [afil].[{name}];" for name in there if name in tables]
    members = connection.exec_driver_sql(
        "SELECT r.name, m.name FROM sys.database_role_members AS x "
        "INNER JOIN sys.database_principals AS r ON r.principal_id = x.role_principal_id "
        "INNER JOIN sys.database_principals AS m ON m.principal_id = x.member_principal_id"
    ).fetchall()
    found += [f"ALTER ROLE [{role}] DROP MEMBER [{member}];" for role, member in members if role in ROLES]
    found += [f"DROP ROLE IF EXISTS [{role}];" for role in ROLES]
    return [*found, "DROP SCHEMA [afil];"]
