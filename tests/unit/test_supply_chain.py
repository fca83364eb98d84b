"""What is installed: ranges in pyproject.toml, exact versions for CI, and that the two agree."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = ROOT / ".ci" / "constraints.txt"


def ranges() -> list[Requirement]:
    """Everything pyproject.toml asks for, in whatever extra, but itself."""
    texts = [*PROJECT["dependencies"], *(t for extra in PROJECT["optional-dependencies"].values() for t in extra)]
    return [r for r in map(Requirement, texts) if r.name != "afilsql"]


def locked() -> dict[str, Version]:
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pairs = [line.split("==") for line in lines]
    assert all(len(pair) == 2 for pair in pairs), "each line is name==version"
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_every_dependency_has_a_lower_and_an_upper_bound() -> None:
    for requirement in ranges():
        operators = {s.operator for s in requirement.specifier}
        assert operators >= {">=", "<"}, f"{requirement}: a new major version could break an installation"


def test_every_dependency_is_locked_within_its_range() -> None:
    lock = locked()
    linux = {**default_environment(), "platform_system": "Linux", "sys_platform": "linux"}
    for requirement in ranges():
        if requirement.marker is None or requirement.marker.evaluate(linux):
            assert requirement.specifier.contains(lock[canonicalize_name(requirement.name)]), requirement


def test_what_the_dependencies_need_themselves_is_locked_too() -> None:
    """Follow the metadata of what is installed, from what pyproject.toml asks for."""
    from importlib.metadata import requires

    linux = {
        **default_environment(),
        "python_version": "3.11",
        "python_full_version": "3.11.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
    }
    needed_here = [r for r in ranges() if r.marker is None or r.marker.evaluate(linux)]
    lock, seen, todo = locked(), set[str](), [(r.name, r.extras) for r in needed_here]
    while todo:
        name, extras = todo.pop()
        assert canonicalize_name(name) in lock, f"{name} is not in {LOCK}"
        if name in seen:
            continue
        seen.add(name)
        for needed in map(Requirement, requires(name) or []):
            if any(needed.marker is None or needed.marker.evaluate({**linux, "extra": e}) for e in ("", *extras)):
                todo.append((needed.name, needed.extras))
    assert len(seen) > len({r.name for r in ranges()})


def test_ci_installs_the_locked_versions_with_the_readmes_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "export PIP_CONSTRAINT=$PWD/.ci/constraints.txt" in script
    assert script.index("PIP_CONSTRAINT") < script.index("pip install")
    assert "--editable '.[dev]' && pytest" in script
    assert os.access(LOCK, os.R_OK)


def test_the_locked_versions_are_audited_every_week() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "audit.yml").read_text(encoding="utf-8"))
    assert workflow[True]["schedule"], "YAML reads the key `on` as true"
    assert workflow["permissions"] == {"contents": "read"}
    commands = " ".join(step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"])
    assert "pip-audit --no-deps --disable-pip --requirement .ci/constraints.txt" in commands
