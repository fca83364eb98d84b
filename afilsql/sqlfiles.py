"""The files of sql/: what each holds, in which order they are applied, and what a file's header says.

Pure but for reading the files. One object per file, the file named after the object, its folder after its kind.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from afilsql.errors import ConfigError

#: Folders of sql/ in the order in which they are applied, with the word T-SQL has for what they hold.
KINDS = {"functions": "FUNCTION", "views": "VIEW", "procedures": "PROCEDURE"}


@dataclass(frozen=True)
class SqlObject:
    """One file of sql/.

    Attributes:
        kind: Its folder, one of KINDS.
        name: Its stem, the object's name in the schema afil.
        text: What it holds.
    """

    kind: str
    name: str
    text: str

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def batches(self) -> tuple[str, ...]:
        return split_batches(self.text)

    @cached_property
    def header(self) -> str:
        """The first comment, without its marks."""
        found = re.search(r"/\*(.*?)\*/", self.text, re.DOTALL)
        return found[1].strip() if found else ""

    @property
    def summary(self) -> str:
        """The header's first paragraph, on one line."""
        return " ".join(self.header.split("\n\n")[0].split())

    @property
    def example(self) -> str:
        """The header's paragraph of T-SQL."""
        paragraphs = self.header.split("\n\n")
        return next((p for p in paragraphs if re.match(r"(EXEC|SELECT|BEGIN|DECLARE) ", p)), "")

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that may use it."""
        found = re.search(r"^Grants\s+(.*)$", self.header, re.MULTILINE)
        return () if found is None or found[1] == "none" else tuple(r.strip() for r in found[1].split(","))

    @property
    def grants(self) -> tuple[str, ...]:
        """The statements that give those roles their right."""
        selected = self.kind == "views" or re.search(r"^RETURNS TABLE$", self.text, re.MULTILINE)
        right = "SELECT" if selected else "EXECUTE"
        return tuple(f"GRANT {right} ON afil.{self.name} TO {role};" for role in self.roles)

    @property
    def requires_sqlserver(self) -> bool:
        """True for a file that Babelfish refuses and whose header says so."""
        return "requires: sqlserver" in self.header

    @cached_property
    def uses(self) -> frozenset[str]:
        """Names in the schema afil that its code mentions."""
        code = re.sub(r"/\*.*?\*/", "", self.text, flags=re.DOTALL)
        return frozenset(re.findall(r"\bafil\.(\w+)", code)) - {self.name}


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
    found: list[SqlObject] = []
    for kind in KINDS:
        files = sorted((root / kind).glob("*.sql"))
        found += in_order(SqlObject(kind, file.stem, file.read_text(encoding="utf-8")) for file in files)
    return found


def in_order(objects: Iterable[SqlObject]) -> list[SqlObject]:
    """Sort the objects of one kind, each after those it uses: functions and views are bound when created."""
    by_name = {o.name: o for o in objects}
    sorter = TopologicalSorter({name: sorted(o.uses & by_name.keys()) for name, o in by_name.items()})
    try:
        return [by_name[name] for name in sorter.static_order()]
    except CycleError:  # procedures may call one another: their names are looked up when they run
        return list(by_name.values())


def with_dependents(changed: Iterable[SqlObject], objects: Iterable[SqlObject]) -> list[SqlObject]:
    """Those that changed, and the functions and views built on them: these keep what they saw when they were created.

    Args:
        changed: Some of `objects`.
        objects: All, in the order of application.
    """
    names = {o.name for o in changed}
    found: list[SqlObject] = []
    for obj in objects:
        if obj.name in names or (obj.kind != "procedures" and obj.uses & names):
            names.add(obj.name)
            found.append(obj)
    return found


def split_batches(text: str) -> tuple[str, ...]:
    """Split T-SQL at its GO lines; empty batches are left out."""
    batches = re.split(r"^\s*GO\s*;?\s*$", text, flags=re.MULTILINE | re.IGNORECASE)
    return tuple(b.strip() for b in batches if b.strip())
