"""Bring a database to this version: Alembic's revisions first, then the files of sql/ whose text changed.

Both run on one connection under one application lock, so two deployers take turns, and inside one
transaction, so a deployment that fails half-way leaves the database as it was.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from afilsql.api.methods import ERROR_CODES
from afilsql.errors import ConfigError, SchemaOutOfDate
from afilsql.outbox import schema
from afilsql.outbox.engine import create_engine, translated
from afilsql.sqlfiles import KINDS, SqlObject, data_folder, sql_objects, with_dependents

_LOCK = "afil.deploy"


def migrate(url: str) -> list[str]:
    """Create or upgrade everything; return a line for each thing done, none when there was nothing to do.

    Raises:
        DatabaseUnavailable: The database cannot be reached, or another deployer holds the lock for a minute.
        DatabaseError: It refused a statement; nothing was changed.
    """
    done: list[str] = []
    with locked(url) as connection:
        before = _revision(connection)
        earlier = _applied(connection)  # a revision may empty the list, so that all is applied again
        _alembic(connection, "upgrade", "head")
        after = _revision(connection)
        if before != after:
            done.append(f"migrated from revision {before or '(none)'} to {after}")
        done += _sync_error_codes(connection)
        if connection.dialect.name == "mssql":
            done += _apply_objects(connection, earlier)
    return done


def downgrade(url: str, revision: str) -> None:
    """Go back to a revision ("base" removes everything). Procedures and views go first.

    Raises:
        DatabaseError: The database refused a statement; nothing was changed.
        ConfigError: No such revision.
    """
    script = ScriptDirectory.from_config(_config())
    if revision != "base" and revision not in {r.revision for r in script.walk_revisions()}:
        raise ConfigError(f"there is no revision '{revision}': use base or one of those in migrations/versions")
    with locked(url) as connection:
        if connection.dialect.name == "mssql":
            for obj in reversed(sql_objects()):
                connection.exec_driver_sql(f"DROP {KINDS[obj.kind]} IF EXISTS afil.{obj.name}")
            if _has_table(connection, "sql_object"):
                connection.execute(sa.delete(schema.sql_object))
        _alembic(connection, "downgrade", revision)
        if revision == "base" and connection.dialect.name == "mssql":
            connection.exec_driver_sql("DROP TABLE IF EXISTS afil.alembic_version")
            connection.exec_driver_sql("DROP SCHEMA IF EXISTS afil")


def drift(url: str) -> list[str]:
    """Say what differs between the database and this version, a line each; none when nothing does."""
    found: list[str] = []
    engine = create_engine(url)
    try:
        with translated(), engine.connect() as connection:
            head, now = _head(), _revision(connection)
            if now != head:
                found.append(f"the database is at revision {now or '(none)'}; this version needs {head}")
            if connection.dialect.name == "mssql" and _has_table(connection, "sql_object"):
                found += _object_drift(connection)
    finally:
        engine.dispose()
    return found


def require_current(connection: sa.Connection) -> None:
    """Raise SchemaOutOfDate unless the database is at this version's revision."""
    if _revision(connection) != _head():
        raise SchemaOutOfDate


def script() -> str:
    """One T-SQL script, with GO, that installs everything on an empty database without Python."""
    out = io.StringIO()
    out.write(
        "/* afilsql: installs the schema afil. Run it once, as db_owner, in the outbox's database. */\n"
        "SET ANSI_NULLS, QUOTED_IDENTIFIER ON;\nGO\n"
        "IF OBJECT_ID(N'afil.outbox') IS NOT NULL\n"
        "    THROW 51020, 'afilsql is installed here already: upgrade it with `afilsql migrate`.', 1;\nGO\n"
        "IF SCHEMA_ID(N'afil') IS NULL\n    EXEC (N'CREATE SCHEMA afil AUTHORIZATION dbo');\nGO\n"
    )
    config = _config()
    config.attributes["buffer"] = out
    command.upgrade(config, "head", sql=True)
    for code in ERROR_CODES.values():
        values = ", ".join(_literal(v) for v in (code.code, code.meaning, code.handling))
        out.write(f"INSERT INTO afil.error_code (code, meaning, handling) VALUES ({values});\n")
    out.write("GO\n")
    for obj in sql_objects():
        for batch in (*obj.batches, *obj.grants, _registration(obj)):
            out.write(f"{batch}\nGO\n")
    return out.getvalue()


def _literal(text: str) -> str:
    return "N'" + text.replace("'", "''") + "'"


@contextmanager
def locked(url: str) -> Iterator[sa.Connection]:
    """One transaction under the deployer's lock."""
    engine = create_engine(url)
    try:
        with translated(), engine.connect() as connection:
            if connection.dialect.name == "mssql":
                with connection.begin():
                    connection.exec_driver_sql(
                        "DECLARE @got int; "
                        f"EXEC @got = sp_getapplock @Resource = N'{_LOCK}', @LockMode = 'Exclusive', "
                        "@LockOwner = 'Transaction', @LockTimeout = 60000; "
                        "IF @got < 0 THROW 51010, 'Another deployer has held the lock for a minute: try again.', 1;"
                    )
                    if connection.exec_driver_sql("SELECT SCHEMA_ID(N'afil')").scalar() is None:
                        connection.exec_driver_sql("CREATE SCHEMA afil AUTHORIZATION dbo")
                    yield connection
            else:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.exec_driver_sql("ROLLBACK")
                    raise
                connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(data_folder("migrations")).replace("%", "%%"))
    return config


def _alembic(connection: sa.Connection, direction: str, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    getattr(command, direction)(config, revision)


def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _revision(connection: sa.Connection) -> str | None:
    version_schema = schema.SCHEMA if connection.dialect.name == "mssql" else None
    return MigrationContext.configure(connection, opts={"version_table_schema": version_schema}).get_current_revision()


def _has_table(connection: sa.Connection, name: str) -> bool:
    return sa.inspect(connection).has_table(name, schema=schema.SCHEMA)


def _sync_error_codes(connection: sa.Connection) -> list[str]:
    """Make afil.error_code hold what methods.py says."""
    table = schema.error_code
    want = {(e.code, e.meaning, e.handling) for e in ERROR_CODES.values()}
    have = {tuple(r) for r in connection.execute(sa.select(table.c.code, table.c.meaning, table.c.handling))}
    if want == have:
        return []
    connection.execute(sa.delete(table))
    connection.execute(sa.insert(table), [{"code": c, "meaning": m, "handling": h} for c, m, h in sorted(want)])
    return ["brought error_code up to date"]


def _applied(connection: sa.Connection) -> set[str]:
    """The files that are applied, by key."""
    if connection.dialect.name != "mssql" or not _has_table(connection, "sql_object"):
        return set()
    return set(connection.execute(sa.select(schema.sql_object.c.name)).scalars())


def _apply_objects(connection: sa.Connection, earlier: set[str]) -> list[str]:
    """Apply the files whose text changed, and those built on them; drop what an earlier version had."""
    table = schema.sql_object
    babelfish = is_babelfish(connection)
    have = {r.name: r.checksum for r in connection.execute(sa.select(table.c.name, table.c.checksum))}
    objects = [o for o in sql_objects() if not (babelfish and o.requires_sqlserver)]
    todo = with_dependents([o for o in objects if have.get(o.key) != o.checksum], objects)
    gone = sorted((earlier | have.keys()) - {o.key for o in objects}, reverse=True)  # views before functions
    if babelfish:  # it has no CREATE OR ALTER, and drops nothing that others are built on
        for obj in reversed(todo):
            connection.exec_driver_sql(f"DROP {KINDS[obj.kind]} IF EXISTS afil.{obj.name}")
    for key in gone:
        kind, _, name = key.partition("/")
        if kind in KINDS:
            connection.exec_driver_sql(f"DROP {KINDS[kind]} IF EXISTS afil.{name}")
        connection.execute(sa.delete(table).where(table.c.name == key))
    for obj in todo:
        for batch in (*obj.batches, *obj.grants):
            connection.exec_driver_sql(for_babelfish(batch, obj.kind) if babelfish else batch)
        connection.execute(sa.delete(table).where(table.c.name == obj.key))
        connection.exec_driver_sql(_registration(obj))
    return [f"dropped {key}" for key in gone] + [f"applied {obj.key}" for obj in todo]


def for_babelfish(batch: str, kind: str) -> str:
    """A batch in the words of Babelfish: no CREATE OR ALTER, and EXECUTE on functions that return tables."""
    if kind == "functions" and batch.startswith("GRANT SELECT"):
        return batch.replace("GRANT SELECT", "GRANT EXECUTE", 1)
    return re.sub(r"\bCREATE OR ALTER\b", "CREATE", batch, count=1)


def _registration(obj: SqlObject) -> str:
    """The statement that notes an object as applied; afil.help reads it."""
    roles = ", ".join(obj.roles) or "none"
    values = (obj.key, obj.name, KINDS[obj.kind].lower(), roles, obj.summary, obj.example, obj.header, obj.checksum)
    return (
        "INSERT INTO afil.sql_object\n"
        "    (name, object_name, kind, grants, summary, example, header, checksum, applied_at)\n"
        f"VALUES ({', '.join(_literal(v) for v in values)}, SYSUTCDATETIME());"
    )


def _object_drift(connection: sa.Connection) -> list[str]:
    table = schema.sql_object
    have = {r.name: r.checksum for r in connection.execute(sa.select(table.c.name, table.c.checksum))}
    there = {
        r[0].lower()
        for r in connection.exec_driver_sql("SELECT name FROM sys.objects WHERE schema_id = SCHEMA_ID(N'afil')")
    }
    babelfish = is_babelfish(connection)
    found: list[str] = []
    for obj in sql_objects():
        if babelfish and obj.requires_sqlserver:
            continue
        if obj.key not in have:
            found.append(f"{obj.key} has not been applied")
        elif have[obj.key] != obj.checksum:
            found.append(f"{obj.key} is another version")
        elif obj.name.lower() not in there:
            found.append(f"{obj.key} was dropped from the database")
    return found


def is_babelfish(connection: sa.Connection) -> bool:
    """True on Babelfish, which refuses CREATE OR ALTER and a few statements more."""
    version = connection.exec_driver_sql("SELECT @@VERSION").scalar()
    return "babelfish" in str(version).lower()
