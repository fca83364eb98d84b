"""Bring a database to this version: Alembic's revisions first, then the files of sql/ whose text changed.

Both run on one connection under one application lock, so two deployers take turns, and inside one
transaction, so a deployment that fails half-way leaves the database as it was.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from afilsql.api.methods import ERROR_CODES
from afilsql.errors import ConfigError, SchemaOutOfDate
from afilsql.outbox import schema
from afilsql.outbox.engine import create_engine, translated

#: Folders of sql/ in the order in which they are applied. Grants come last: DROP + CREATE loses them.
FOLDERS = ("functions", "views", "procedures", "triggers", "grants")
_LOCK = "afil.deploy"
_KIND = {"functions": "FUNCTION", "views": "VIEW", "procedures": "PROCEDURE", "triggers": "TRIGGER"}


@dataclass(frozen=True, slots=True)
class SqlObject:
    """One file of sql/: `kind` is its folder, `name` its stem, `batches` its text split at GO."""

    kind: str
    name: str
    batches: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def checksum(self) -> str:
        return hashlib.sha256("\nGO\n".join(self.batches).encode()).hexdigest()

    @property
    def requires_sqlserver(self) -> bool:
        """True for a file that Babelfish refuses and whose header says so."""
        return any("requires: sqlserver" in b for b in self.batches)


def data_folder(name: str) -> Path:
    """The folder `migrations` or `sql`: beside the package in a checkout, inside it in a wheel.

    Raises:
        ConfigError: The installation is incomplete.
    """
    package = Path(__file__).parent
    for folder in (package / "_bundled" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigError(f"the folder '{name}' is missing from this installation of afilsql: install it again")


def sql_objects() -> list[SqlObject]:
    """Every file of sql/, in the order of application."""
    root = data_folder("sql")
    return [
        SqlObject(kind, path.stem, split_batches(path.read_text(encoding="utf-8")))
        for kind in FOLDERS
        for path in sorted((root / kind).glob("*.sql"))
    ]


def split_batches(text: str) -> tuple[str, ...]:
    """Split T-SQL at its GO lines; empty batches are left out."""
    batches = re.split(r"^\s*GO\s*;?\s*$", text, flags=re.MULTILINE | re.IGNORECASE)
    return tuple(b.strip() for b in batches if b.strip())


def migrate(url: str) -> list[str]:
    """Create or upgrade everything; return a line for each thing done, none when there was nothing to do.

    Raises:
        DatabaseUnavailable: The database cannot be reached, or another deployer holds the lock for a minute.
        DatabaseError: It refused a statement; nothing was changed.
    """
    done: list[str] = []
    with _locked(url) as connection:
        before = _revision(connection)
        _alembic(connection, "upgrade", "head")
        after = _revision(connection)
        if before != after:
            done.append(f"migrated from revision {before or '(none)'} to {after}")
        done += _sync_error_codes(connection)
        if connection.dialect.name == "mssql":
            done += _apply_objects(connection)
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
    with _locked(url) as connection:
        if connection.dialect.name == "mssql":
            for obj in reversed(sql_objects()):
                if obj.kind in _KIND:
                    connection.exec_driver_sql(f"DROP {_KIND[obj.kind]} IF EXISTS afil.{obj.name}")
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
        "IF SCHEMA_ID(N'afil') IS NULL\n    EXEC (N'CREATE SCHEMA afil');\nGO\n"
    )
    config = _config()
    config.attributes["buffer"] = out
    command.upgrade(config, "head", sql=True)
    for code in ERROR_CODES.values():
        values = ", ".join(_literal(v) for v in (code.code, code.meaning, code.handling))
        out.write(f"INSERT INTO afil.error_code (code, meaning, handling) VALUES ({values});\n")
    out.write("GO\n")
    for obj in sql_objects():
        for batch in obj.batches:
            out.write(f"{batch}\nGO\n")
        out.write(
            "INSERT INTO afil.sql_object (name, checksum, applied_at) "
            f"VALUES ({_literal(obj.key)}, '{obj.checksum}', SYSUTCDATETIME());\nGO\n"
        )
    return out.getvalue()


def _literal(text: str) -> str:
    return "N'" + text.replace("'", "''") + "'"


@contextmanager
def _locked(url: str) -> Iterator[sa.Connection]:
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
                        connection.exec_driver_sql("CREATE SCHEMA afil")
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


def _apply_objects(connection: sa.Connection) -> list[str]:
    """Apply the files whose text changed; on any change the grants again, for DROP + CREATE loses them."""
    table = schema.sql_object
    babelfish = is_babelfish(connection)
    have = {r.name: r.checksum for r in connection.execute(sa.select(table.c.name, table.c.checksum))}
    done: list[str] = []
    for obj in sql_objects():
        if babelfish and obj.requires_sqlserver:
            continue
        changed = have.get(obj.key) != obj.checksum
        if not changed and not (obj.kind == "grants" and done):
            continue
        for batch in obj.batches:
            _apply_batch(connection, obj, batch, babelfish)
        if changed:
            connection.execute(sa.delete(table).where(table.c.name == obj.key))
            connection.exec_driver_sql(
                "INSERT INTO afil.sql_object (name, checksum, applied_at) VALUES (?, ?, SYSUTCDATETIME())",
                (obj.key, obj.checksum),
            )
            done.append(f"applied {obj.key}")
    return done


def _apply_batch(connection: sa.Connection, obj: SqlObject, batch: str, babelfish: bool) -> None:
    if babelfish and obj.kind in _KIND and re.search(r"\bCREATE OR ALTER\b", batch):
        connection.exec_driver_sql(f"DROP {_KIND[obj.kind]} IF EXISTS afil.{obj.name}")
        batch = re.sub(r"\bCREATE OR ALTER\b", "CREATE", batch, count=1)
    connection.exec_driver_sql(batch)


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
        elif obj.kind in _KIND and obj.name.lower() not in there:
            found.append(f"{obj.key} was dropped from the database")
    return found


def is_babelfish(connection: sa.Connection) -> bool:
    """True on Babelfish, which refuses CREATE OR ALTER and a few statements more."""
    version = connection.exec_driver_sql("SELECT @@VERSION").scalar()
    return "babelfish" in str(version).lower()
