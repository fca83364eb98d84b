"""The README knows every command and every setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from afilsql.cli import app
from afilsql.cli.context import Exit
from afilsql.config import Settings

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
