"""The port that watchers look at, and what is put together behind it."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Mapping
from typing import Any, TextIO, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter

from afilsql.config import Settings, load_settings
from afilsql.delivery import events
from afilsql.delivery.pulse import FROZEN, Pulse
from afilsql.errors import ConfigError
from afilsql.logs import logging_to
from afilsql.watching.health import Health
from afilsql.watching.server import MOST, WatchServer
from afilsql.watching.setup import Watching, wants_traces
from tests.patience import PATIENCE
from tests.unit.test_pulse import Clock
from tests.unit.test_worker import wait_for

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


def get(url: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urlopen(Request(url, headers=headers), timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_frozen_loop_is_a_503_at_both_addresses_until_it_moves() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    health = Health(pulse, clock)
    registry = CollectorRegistry()
    with WatchServer("127.0.0.1", 0, frozen=health.frozen, unready=health.unready, registry=registry) as server:
        assert get(f"{server.url}/healthz") == (200, b"ok\n")
        clock.now += FROZEN + 1
        for path in ("healthz", "readyz"):
            assert get(f"{server.url}/{path}") == (503, b"the worker's loop has not moved for 121 s\n")
        pulse.beat()
        assert get(f"{server.url}/healthz") == (200, b"ok\n")


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(
    "host", ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not _has_ipv6(), reason="no IPv6"))]
)
def test_metrics_are_served_plain_and_packed(host: str) -> None:
    registry = CollectorRegistry()
    Counter("afilsql_things", "Things.", registry=registry).inc(3)
    with WatchServer(host, 0, frozen=lambda: None, unready=lambda: None, registry=registry) as server:
        status, plain = get(f"{server.url}/metrics")
        assert (status, b"afilsql_things_total 3.0" in plain) == (200, True)
        assert gzip.decompress(get(f"{server.url}/metrics", **{"Accept-Encoding": "gzip"})[1]) == plain
    with pytest.raises(OSError):
        get(f"{server.url}/metrics")


def test_a_client_that_says_nothing_or_nonsense_keeps_no_other_waiting() -> None:
    registry = CollectorRegistry()
    with WatchServer("127.0.0.1", 0, frozen=lambda: None, unready=lambda: None, registry=registry) as server:
        port = int(server.url.rpartition(":")[2])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        with socket.create_connection(("127.0.0.1", port)) as nonsense:
            nonsense.sendall(b"\x16\x03\x01 not http\r\n\r\n")
            assert get(f"{server.url}/healthz") == (200, b"ok\n")
        for one in silent:
            one.close()


def test_clients_beyond_the_most_are_cut_and_there_is_room_again_once_others_end() -> None:
    registry = CollectorRegistry()
    with WatchServer("127.0.0.1", 0, frozen=lambda: None, unready=lambda: None, registry=registry) as server:
        port = int(server.url.rpartition(":")[2])
        silent = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(MOST)]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as beyond:
            assert beyond.recv(1) == b"", "it was cut without an answer"
        for one in silent:
            one.close()

        def answers() -> bool:
            try:
                return get(f"{server.url}/healthz") == (200, b"ok\n")
            except OSError:
                return False

        wait_for(answers, 20)


def test_an_address_that_is_not_this_machines_is_refused_with_what_to_do() -> None:
    registry = CollectorRegistry()
    with (
        pytest.raises(ConfigError, match="another AFILSQL_METRICS_PORT or AFILSQL_METRICS_HOST"),
        WatchServer("192.0.2.1", 0, frozen=lambda: None, unready=lambda: None, registry=registry),
    ):
        pass


class Hook:
    """Ends as told."""

    name = "alert_url"

    def __init__(self, ends: str | Exception | None) -> None:
        self._ends = ends

    def send(self, alert: Mapping[str, Any]) -> str | None:
        if isinstance(self._ends, Exception):
            raise self._ends
        return self._ends

    def abandon(self) -> None:
        pass


def test_alerts_are_counted_by_how_they_ended_and_end_the_same() -> None:
    watching = Watching(Settings(metrics_port=0), {}, worker="w")
    hooks = watching.hooks([Hook(None), Hook("answered HTTP 500"), Hook(ValueError("defect"))])
    assert [hook.send({}) for hook in hooks[:2]] == [None, "answered HTTP 500"]
    with pytest.raises(ValueError, match="defect"):
        hooks[2].send({})
    assert watching._process is not None
    value = watching._process.registry.get_sample_value
    assert value("afilsql_alerts_total", {"hook": "alert_url", "outcome": "sent"}) == 1
    assert value("afilsql_alerts_total", {"hook": "alert_url", "outcome": "failed"}) == 2


def test_lines_lost_by_a_workers_log_are_counted() -> None:
    class Full:
        def write(self, text: str) -> int:
            raise OSError("no space left")

        def isatty(self) -> bool:
            return False

    lost: list[int] = []
    with logging_to(cast(TextIO, Full()), format="json", on_lost=lost.append) as logger:
        logger.info("one")
        wait_for(lambda: sum(lost) == 1)


def test_without_its_settings_nothing_watches() -> None:
    watching = Watching(Settings(), {}, worker="w")
    outbox, deliver = cast(Any, object()), lambda claim, send_by: None
    assert watching.of("").outbox(outbox) is outbox
    assert watching.of("").deliver(deliver) is deliver
    told: list[str] = []
    with watching.serving(told.append):
        assert told == []


def test_of_several_databases_readiness_names_the_one_that_is_not_served() -> None:
    url = "mssql+pyodbc://me:w0rd@db.example.com:1433/sales"
    watching = Watching(Settings(database_url=url, databases=("support",), metrics_port=0), {}, worker="w")
    assert watching.unready() == "sales: there was no exchange with the database yet"
    watching.of("sales").ask("exchange", lambda: None, lambda answer: {})
    assert watching.unready() == "support: there was no exchange with the database yet"
    watching.of("support").ask("exchange", lambda: None, lambda answer: {})
    assert watching.unready() is None
    watching.of("support").notice(events.DatabaseLost("gone"))
    watching.of("sales").notice(events.DatabaseBack(3.0))
    assert str(watching.unready()).startswith("support: the database has been away")
    assert watching.frozen() is None


@pytest.mark.parametrize(
    ("said", "environ", "wanted"),
    [
        (None, {}, False),
        (None, ENDPOINT, True),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        (False, ENDPOINT, False),
        (True, {}, True),
        (True, {"OTEL_SDK_DISABLED": "true"}, False),
        (None, ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_wanted_as_the_setting_and_the_standard_variables_say(
    said: bool | None, environ: dict[str, str], wanted: bool
) -> None:
    assert wants_traces(Settings(traces=said), environ) is wanted


def test_the_settings_come_from_the_environment_and_are_checked() -> None:
    settings = load_settings(
        None, {"AFILSQL_METRICS_PORT": "9464", "AFILSQL_METRICS_HOST": "::", "AFILSQL_TRACES": "true"}
    )
    assert (settings.metrics_port, settings.metrics_host, settings.traces) == (9464, "::", True)
    with pytest.raises(ConfigError, match="AFILSQL_METRICS_PORT"):
        load_settings(None, {"AFILSQL_METRICS_PORT": "65536"})
