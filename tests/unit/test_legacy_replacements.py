"""Every printed replacement is T-SQL: Microsoft's own parser reads it, and the procedures take its parameters."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from afilsql import deploy
from afilsql.api.methods import METHODS
from afilsql.legacy import Found, Source, answers, scan
from afilsql.legacy.answers import VIEWS
from afilsql.legacy.rewrite import PROCEDURES
from tests.unit.legacy_samples import FIXTURES, sql_of, text_of
from tests.unit.test_legacy_secrets import CARRIERS, wrap

MAXDOP = shutil.which("maxdop", path=str(Path(sys.executable).parent)) or "maxdop"
TEXTS = {name: text_of(name) for name in FIXTURES} | {f"secret in {k}": wrap(v) for k, v in CARRIERS.items()}
CALLS = [
    pytest.param(call, id=f"{report.source}:{call.line}")
    for report in scan([Source(name, text) for name, text in TEXTS.items()])
    for call in report.calls
    if call.replacement
]


def header(procedure: str) -> str:
    path = deploy.data_folder("sql") / "procedures" / f"{procedure.removeprefix('afil.')}.sql"
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("call", CALLS)
def test_scriptdom_parses_the_replacement(call: Found, tmp_path: Path) -> None:
    done = subprocess.run(
        [MAXDOP, "--parser-version", "2017"], input=sql_of(call), capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, sql_of(call) + done.stdout + done.stderr


@pytest.mark.parametrize("call", CALLS)
def test_the_exec_names_the_methods_own_parameters_each_once(call: Found) -> None:
    assert call.replacement is not None
    execute = sql_of(call).partition("EXEC ")[2]
    method = METHODS[call.method]
    names = re.findall(r"^    @(\w+) = ", execute, re.MULTILINE)
    assert execute.startswith(call.replacement.procedure)
    assert set(method.required) <= set(names) <= set(method.parameters)
    assert len(names) == len(set(names))
    assert set(call.replacement.values) == set(names)


def test_every_method_has_its_procedure_and_the_procedure_takes_its_parameters() -> None:
    assert set(PROCEDURES) == set(METHODS)
    for name, procedure in PROCEDURES.items():
        for parameter in (*METHODS[name].parameters, "account", "id"):
            assert re.search(rf"^    @{parameter} ", header(procedure), re.MULTILINE), (procedure, parameter)


@pytest.mark.parametrize("view", [*VIEWS.values(), "afil.responses", "afil.all_items"])
def test_the_views_that_notes_name_are_there(view: str) -> None:
    assert (deploy.data_folder("sql") / "views" / f"{view.removeprefix('afil.')}.sql").is_file()


def test_notes_offer_to_wait_exactly_when_the_procedures_can() -> None:
    takes = {bool(re.search(r"^    @wait_ms ", header(p), re.MULTILINE)) for p in PROCEDURES.values()}
    assert takes == {answers.WAITS}, "set WAITS in afilsql/legacy/answers.py to what the procedures take"
