"""The files of sql/, read as text and by Microsoft's own parser."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from afilsql import deploy
from afilsql.sqlfiles import KINDS, SqlObject, data_folder, sql_objects, with_dependents

OBJECTS = sql_objects()
ROLES = {"afil_sender", "afil_reader", "afil_worker", "afil_operator"}
MAXDOP = shutil.which("maxdop", path=str(Path(sys.executable).parent)) or "maxdop"


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda o: o.name)
def test_every_header_says_what_comes_back_what_fails_and_who_may(obj: SqlObject) -> None:
    assert obj.text.startswith("SET ANSI_NULLS, QUOTED_IDENTIFIER ON;\nGO\n")
    for word in ("Returns", "Errors", "Grants"):
        assert re.search(rf"^{word}\s", obj.header, re.MULTILINE), word
    assert f"afil.{obj.name}" in obj.example
    assert obj.summary
    assert set(obj.roles) <= ROLES
    assert re.search(rf"CREATE OR ALTER {KINDS[obj.kind]} afil\.{obj.name}\b", obj.text)


@pytest.mark.parametrize("obj", [o for o in OBJECTS if o.kind == "procedures"], ids=lambda o: o.name)
def test_every_error_a_procedure_throws_is_in_its_header(obj: SqlObject) -> None:
    code = obj.text.replace(obj.header, "")
    assert set(re.findall(r"\bTHROW (51\d\d\d)", code)) <= set(re.findall(r"\b51\d\d\d\b", obj.header))


def test_objects_come_after_those_they_are_built_on() -> None:
    seen: set[str] = set()
    for obj in OBJECTS:
        if obj.kind != "procedures":
            others = {o.name for o in OBJECTS if o.kind != "procedures"}
            assert (obj.uses & others) <= seen, obj.key
        seen.add(obj.name)


def test_what_is_built_on_a_changed_object_is_applied_with_it() -> None:
    changed = [o for o in OBJECTS if o.name == "answer_list"]
    names = [o.name for o in with_dependents(changed, OBJECTS)]
    assert names[0] == "answer_list"
    assert {"messages_of", "chats_of", "channels_of"} <= set(names)
    assert "send_message" not in names


def test_scriptdom_parses_every_file_and_finds_it_formatted() -> None:
    done = subprocess.run(
        [MAXDOP, "--check", "--parser-version", "2017", str(data_folder("sql"))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_scriptdom_parses_the_printed_script(tmp_path: Path) -> None:
    done = subprocess.run(
        [MAXDOP, "--parser-version", "2017"], input=deploy.script(), capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


def test_readpast_is_never_alone() -> None:
    """SQL Server refuses READPAST under row versioning unless READCOMMITTEDLOCK stands beside it."""
    for obj in OBJECTS:
        for hints in re.findall(r"WITH \(([^;]*?\bREADPAST\b[^;]*?)\)\s", obj.text):
            assert "READCOMMITTEDLOCK" in hints, f"{obj.key}: {hints}"
