"""Where T-SQL is read from: files in any encoding SSMS writes, and the modules of a database."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from afilsql.errors import InvalidParameter

if TYPE_CHECKING:
    import sqlalchemy as sa

#: Every module whose text the login may see. DDL triggers have no schema; encrypted modules have no text.
_MODULES = """
SELECT COALESCE(s.name + N'.', N'') + COALESCE(o.name, t.name) AS name, m.definition
FROM sys.sql_modules AS m
LEFT JOIN sys.objects AS o ON o.object_id = m.object_id
LEFT JOIN sys.schemas AS s ON s.schema_id = o.schema_id
LEFT JOIN sys.triggers AS t ON t.object_id = m.object_id
"""


@dataclass(frozen=True, slots=True)
class Source:
    """T-SQL with the name to show for it; `text` is None for an encrypted module."""

    name: str
    text: str | None


def read_paths(paths: Iterable[Path]) -> list[Source]:
    """Read files, and folders' *.sql down to the last subfolder.

    Raises:
        InvalidParameter: A path does not exist or cannot be read, or a folder holds no .sql file.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() == ".sql" and p.is_file())
            if not inside:
                raise InvalidParameter(f"the folder {path} holds no .sql file: name another, or the files themselves")
            found.update(dict.fromkeys(inside))
        else:
            found[path] = None
    return [Source(str(path), decode(_bytes(path))) for path in found]


def read_database(connection: sa.Connection) -> list[Source]:
    """Read the modules of the connection's database: procedures, functions, triggers, views.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database refused; nothing is ever written.
    """
    rows = connection.exec_driver_sql(_MODULES).fetchall()
    return sorted((Source(str(name or "(no name)"), text) for name, text in rows), key=lambda s: s.name.lower())


def decode(data: bytes) -> str:
    """Return a file's text: UTF-16 or UTF-8 by its mark, UTF-8 without one, else the Windows code page 1252."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace")
    if data[1:200:2].count(0) > len(data[1:200:2]) // 2:
        return data.decode("utf-16-le", errors="replace")  # saved without its mark
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InvalidParameter(f"{path} does not exist: name a .sql file or a folder of them") from None
    except OSError as e:
        raise InvalidParameter(f"{path} cannot be read ({e.strerror}): check its permissions") from None
