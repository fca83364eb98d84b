"""The files of sql/, read as text and by Microsoft's own parser."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from afilsql import deploy

FILES = sorted(deploy.data_folder("sql").rglob("*.sql"))
MAXDOP = shutil.which("maxdop", path=str(Path(sys.executable).parent)) or "maxdop"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_header_says_what_comes_back_what_fails_and_who_may(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header = re.search(r"/\*(.*?)\*/", text, re.DOTALL)
    assert text.startswith("SET ANSI_NULLS, QUOTED_IDENTIFIER ON;\nGO\n")
    assert header
    for word in ("Returns", "Errors", "Grants"):
        assert re.search(rf"^{word}\s", header[1], re.MULTILINE), word
    if path.parent.name != "grants":
        assert f"afil.{path.stem}" in header[1]
        assert re.search(rf"CREATE OR ALTER \w+ afil\.{path.stem}\b", text)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_grant_in_a_header_is_in_the_grants_file(path: Path) -> None:
    grants = (deploy.data_folder("sql") / "grants" / "roles.sql").read_text(encoding="utf-8")
    role = re.search(r"^Grants\s+(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert role
    if path.parent.name != "grants" and role[1] != "none":
        assert re.search(rf"ON afil\.{path.stem} TO {role[1]};", grants)


def test_scriptdom_parses_every_file_and_finds_it_formatted() -> None:
    done = subprocess.run(
        [MAXDOP, "--check", "--parser-version", "2017", str(deploy.data_folder("sql"))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_scriptdom_parses_the_printed_script(tmp_path: Path) -> None:
    done = subprocess.run(
        [MAXDOP, "--parser-version", "2017"], input=deploy.script(), capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
