"""The Grafana dashboard and the alert rules under .ops name metrics and labels that workers have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from afilsql.delivery.pulse import FROZEN, Pulse
from afilsql.watching.depth import ACCOUNT_STATES, Depth
from afilsql.watching.meters import Meters, ProcessMeters
from afilsql.watching.queue import QueueCollector

OPS = Path(__file__).parents[2] / ".ops"
ALERTS = OPS / "prometheus" / "alerts.yml"
DASHBOARD = json.loads((OPS / "grafana" / "afilsql.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [t["expr"] for p in PANELS for t in p["targets"]] + [rule["expr"] for rule in RULES]
#: Labels that Prometheus itself adds, and the bucket's.
OF_PROMETHEUS = {"job", "instance", "le"}


class NoRows:
    def read(self) -> Depth:
        return Depth((), ())

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def labels_by_sample() -> Iterator[dict[str, set[str]]]:
    """Every sample that a worker can show, with its labels; of several databases each has its name."""
    process = ProcessMeters(pulse=Pulse(), version="0")
    of_database = CollectorRegistry(auto_describe=True)
    meters = Meters(of_database, (), concurrency=1)
    queue = QueueCollector(NoRows(), meters.account)
    found: dict[str, set[str]] = {"afilsql_build_info": {"version", "python"}}
    for holder, registry, more in ((process, process.registry, set[str]()), (meters, of_database, {"database"})):
        for metric in vars(holder).values():
            names = set(getattr(metric, "_labelnames", ())) | more
            for described in getattr(metric, "describe", list)():
                suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(described.type, [""])
                found |= {described.name + suffix: names for suffix in suffixes}
        found |= {metric.name: more for metric in registry.collect() if metric.name not in found}
    for family in queue.describe():
        labels = set(family._labelnames)  # type: ignore[attr-defined]
        found[family.name + ("_total" if family.type == "counter" else "")] = labels | {"database"}
    queue.close()
    yield found


def selectors(expression: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """(metric, [(label, value)]) of each metric that an expression names."""
    found = re.findall(r"\b(afilsql_\w+)(?:\{([^}]*)\})?", expression)
    return [(name, re.findall(r'(\w+)[=!~]+"([^"]*)"', matchers)) for name, matchers in found]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_of_an_expression_exists(labels_by_sample: dict[str, set[str]], expression: str) -> None:
    named = selectors(expression) or [("up", [])]
    for name, matchers in named:
        if name == "up":
            assert re.search(r"\bup\b", expression), "an expression without a metric of ours"
            continue
        assert name in labels_by_sample
        assert {label for label, _ in matchers} <= labels_by_sample[name] | OF_PROMETHEUS
    grouped = {g.strip() for by in re.findall(r"\bby \(([^)]*)\)", expression) for g in by.split(",")}
    assert grouped <= set[str]().union(*(labels_by_sample.get(n, set()) for n, _ in named)) | OF_PROMETHEUS


def test_values_of_labels_that_are_named_are_ones_that_come() -> None:
    known = {
        "state": {*ACCOUNT_STATES, "queued", "scheduled", "sending", "reading_back", "uncertain"},
        "outcome": {"sent", "retry", "failed", "uncertain", "release", "hold"},
        "kind": {"send", "get", "poll"},
    }
    for expression in EXPRESSIONS:
        for _, matchers in selectors(expression):
            for label, value in matchers:
                assert label not in known or set(value.split("|")) <= known[label], expression


def test_the_dashboard_has_what_grafana_needs() -> None:
    assert isinstance(DASHBOARD["schemaVersion"], int)
    assert DASHBOARD["uid"] and DASHBOARD["title"]
    assert len({p["id"] for p in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    variables = {v["name"] for v in DASHBOARD["templating"]["list"]}
    for panel in PANELS:
        assert panel["title"] and panel["targets"], panel
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({t["refId"] for t in panel["targets"]}) == len(panel["targets"])
        used = set(re.findall(r"\$(\w+)", json.dumps(panel["targets"]))) - {"__rate_interval"}
        assert used <= variables


def test_no_two_panels_of_the_dashboard_lie_on_each_other() -> None:
    taken: dict[tuple[int, int], Any] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    summary = rule["annotations"]["summary"]
    assert re.search(r"[:,] (\w+ )*(start|restart|look|grant|EXEC|compare|raise|SELECT|mend)\b", summary), summary
    assert rule["labels"]["severity"] in ("warning", "critical")


def test_a_loop_is_frozen_to_the_alert_when_it_is_to_healthz() -> None:
    (rule,) = (r for r in RULES if r["alert"] == "AfilsqlLoopFrozen")
    assert rule["expr"] == f"afilsql_loop_age_seconds > {FROZEN:g}"


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)")
@pytest.mark.parametrize("command", [("check", ALERTS), ("test", ALERTS.with_name("alerts_test.yml"))])
def test_promtool_accepts_the_rules_and_they_fire_when_they_should(command: tuple[str, Path]) -> None:
    done = subprocess.run([str(PROMTOOL), command[0], "rules", str(command[1])], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)")
def test_promtool_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{n}", "expr": expression.replace("$__rate_interval", "1m")}
        for n, expression in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([str(PROMTOOL), "check", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_been_seen_to_fire() -> None:
    tests = yaml.safe_load(ALERTS.with_name("alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {
        name
        for t in tests
        for one in t.get("promql_expr_test", ())
        for sample in one["exp_samples"]
        for name in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    quiet = {one["alertname"] for t in tests for one in t.get("alert_rule_test", ())}
    assert fired == quiet == {rule["alert"] for rule in RULES}
