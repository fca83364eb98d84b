"""SECURITY.md names tests that are there, and sets no right in the world that sql/ does not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from afilsql.sqlfiles import sql_objects

ROOT = Path(__file__).parents[2]
POLICY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[\w/.:]+)`", POLICY))))
def test_each_test_that_it_names_is_there(named: str) -> None:
    path, _, name = named.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
    assert name in names if name else names


def test_it_names_every_object_the_worker_may_use() -> None:
    (row,) = (line for line in POLICY.splitlines() if "(`afil_worker`)" in line)
    for obj in sql_objects():
        assert ("afil_worker" in obj.roles) == (f"`afil.{obj.name}`" in row), obj.name


def test_it_names_every_role() -> None:
    for role in {role for obj in sql_objects() for role in obj.roles}:
        assert f"(`{role}`)" in POLICY
