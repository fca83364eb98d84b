"""The README knows every command, setting, object of the database and error number."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from typer.main import get_command

from afilsql.cli import app
from afilsql.cli.context import Exit
from afilsql.config import Settings
from afilsql.sqlfiles import SqlObject, data_folder, sql_objects

README = Path(__file__).parents[2] / "README.md"
COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]
SETTINGS = ["AFILSQL_CONFIG", *(f"AFILSQL_{name.upper()}" for name in Settings.model_fields)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name):
    assert re.search(rf"afilsql {name}(?![\w-])", README.read_text(encoding="utf-8")), f"describe `afilsql {name}`"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_in_the_readme(name):
    assert re.search(rf"\b{name}\b", README.read_text(encoding="utf-8")), f"describe {name}"


@pytest.mark.parametrize("code", list(Exit))
def test_every_exit_code_is_in_the_readme(code):
    assert re.search(rf"^\|\s*`?{code.value}`?\s*\|", README.read_text(encoding="utf-8"), re.MULTILINE), (
        f"exit code {code.value} ({code.name}) needs a line in a table: | {code.value} | … |"
    )


@pytest.mark.parametrize("obj", [o for o in sql_objects() if o.roles], ids=lambda o: o.name)
def test_every_object_that_a_role_may_use_is_in_the_readme(obj: SqlObject) -> None:
    assert re.search(rf"(\bafil\.|`){obj.name}\b", README.read_text(encoding="utf-8")), f"describe afil.{obj.name}"


def _database_settings() -> list[str]:
    """The names in SETTINGS of every revision that has one, read without running it."""
    files = sorted((data_folder("migrations") / "versions").glob("*.py"))
    found = (node for file in files for node in ast.parse(file.read_text(encoding="utf-8")).body)
    return [
        row[0]
        for node in found
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SETTINGS"
        for row in ast.literal_eval(node.value)
    ]


@pytest.mark.parametrize("name", _database_settings())
def test_every_setting_of_the_database_is_in_the_readme(name: str) -> None:
    assert re.search(rf"\b{name}\b", README.read_text(encoding="utf-8")), f"describe the setting {name}"


@pytest.mark.parametrize(
    "number", sorted({n for o in sql_objects() for n in re.findall(r"\bTHROW\s+(510\d\d)", o.text)})
)
def test_every_error_number_of_the_procedures_is_in_the_readme(number: str) -> None:
    assert number in README.read_text(encoding="utf-8"), f"describe error {number}"
