"""Lint, format and types, checked as part of the suite so that one command checks everything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_the_code_passes(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_starts_the_worker_after_the_tables_are_there() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert services["worker"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert services["migrate"]["depends_on"]["database"]["condition"] == "service_completed_successfully"
    assert services["database"]["depends_on"]["sqlserver"]["condition"] == "service_healthy"


def test_the_workflow_runs_the_readmes_test_command_on_three_versions_of_sql_server() -> None:
    text = (ROOT / ".github" / "workflows" / "sqlserver.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    job = workflow["jobs"]["sqlserver"]
    image = job["env"]["AFILSQL_TEST_IMAGE"]
    images = [image.replace("${{ matrix.version }}", v) for v in job["strategy"]["matrix"]["version"]]
    assert images == [f"mcr.microsoft.com/mssql/server:{v}-latest" for v in ("2019", "2022", "2025")]
    command = "pip install --editable '.[dev]' && pytest"
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")
    assert any(step.get("run", "").startswith(command) for step in job["steps"])
    assert workflow["permissions"] == {"contents": "read"}
    assert all(j["timeout-minutes"] for j in workflow["jobs"].values())
