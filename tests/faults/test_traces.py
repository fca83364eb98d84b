"""A real worker exports its spans to a collector, and they join the traces of those who asked."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from tests.faults.collector import Collector, Span
from tests.faults.processes import ended, environment, workers
from tests.patience import PATIENCE

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
TEXT, NUMBER = "a text no span may tell", "34699123456"
CHAT = {"platform": "whatsapp", "platformid": "100", "destination": NUMBER}


def run_worker(database: str, requests: list[Request], collector: Collector, **settings: str) -> None:
    """Have a worker deliver the requests and end."""
    otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with SandboxServer(latency=0.05) as api, open_outbox(database) as outbox:
        outbox.enqueue_many(requests)
        with workers(1, database, api.url, **otel, **settings) as (process,):
            ended(process)


def message(**options: object) -> Request:
    return Request("sendmessage", CHAT | {"message": TEXT}, **options)  # type: ignore[arg-type]


def only(spans: list[Span]) -> Span:
    assert len(spans) == 1, spans
    return spans[0]


def test_a_message_joins_its_callers_trace_from_the_request_until_it_was_sent(empty_outbox: str) -> None:
    asked_at = time.time()
    with Collector() as collector:
        run_worker(empty_outbox, [message(traceparent=TRACEPARENT)], collector)
    whole, call = only(collector.named("sendmessage request")), only(collector.named("call sendmessage"))
    assert (whole.trace, whole.parent) == (TRACE, PARENT)
    assert (call.trace, call.parent) == (TRACE, whole.id)
    assert whole.attributes["messaging.message.id"]
    assert (call.attributes["http.response.status_code"], call.attributes["afilsql.outcome"]) == (200, "sent")
    assert call.ended - call.began >= 0.05
    assert abs(whole.began - asked_at) < 60
    assert whole.began <= call.began < call.ended <= whole.ended
    assert not call.failed
    exchanges = collector.named("exchange")
    assert sum(s.attributes["afilsql.taken"] for s in exchanges) == 1
    assert sum(s.attributes["afilsql.handed_in"] for s in exchanges) == 1
    assert call.resource["service.name"] == "afilsql"


def test_a_message_that_failed_shows_its_call_in_the_callers_trace_with_the_code(empty_sqlite: str) -> None:
    request = Request("sendmessage", CHAT | {"message": TEXT, "platformid": "none"}, traceparent=TRACEPARENT)
    with Collector() as collector:
        run_worker(empty_sqlite, [request], collector)
    call = only(collector.named("call sendmessage"))
    assert (call.trace, call.parent, call.failed) == (TRACE, PARENT, True)
    assert call.attributes["error.type"] == "CHANNEL_NOT_FOUND"
    assert collector.named("sendmessage request") == []


def test_a_list_that_is_kept_is_a_span_beside_its_call(empty_sqlite: str) -> None:
    with Collector() as collector:
        run_worker(empty_sqlite, [Request("getchatchannels", traceparent=TRACEPARENT)], collector)
    kept, call = only(collector.named("receive")), only(collector.named("call getchatchannels"))
    assert (kept.trace, kept.parent) == (TRACE, call.parent)
    assert kept.attributes["afilsql.list"] == "channels"
    assert kept.attributes["afilsql.rows"] > 0


def test_without_a_trace_of_the_caller_a_message_has_one_of_its_own(empty_sqlite: str) -> None:
    with Collector() as collector:
        run_worker(empty_sqlite, [message(), message()], collector)
    roots = collector.named("sendmessage request")
    assert [span.parent for span in roots] == ["", ""]
    assert len({span.trace for span in roots}) == 2


def test_a_trace_that_its_caller_does_not_record_is_not_recorded(empty_sqlite: str) -> None:
    with Collector() as collector:
        run_worker(empty_sqlite, [message(traceparent=TRACEPARENT[:-1] + "0")], collector)
    assert {span.name for span in collector.spans} == {"exchange"}


def test_no_span_tells_a_text_a_number_a_password_or_an_address_of_the_api(empty_sqlite: str) -> None:
    with Collector() as collector:
        run_worker(empty_sqlite, [message(), Request("getchats", CHAT | {"destination": None})], collector)
    assert len(collector.spans) > 4
    for secret in (TEXT, NUMBER, "demo", "/api/http"):
        assert secret.encode() not in collector.raw


def test_the_standard_variables_name_the_service_and_turn_traces_off(empty_sqlite: str) -> None:
    with Collector() as collector:
        run_worker(empty_sqlite, [message()], collector, OTEL_SERVICE_NAME="notices")
        assert {span.resource["service.name"] for span in collector.spans} == {"notices"}
        seen = len(collector.spans)
        for off in ({"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}, {"AFILSQL_TRACES": "false"}):
            run_worker(empty_sqlite, [message()], collector, **off)
        assert len(collector.spans) == seen


def test_a_collector_that_is_away_keeps_no_message_and_no_worker_waiting(empty_sqlite: str) -> None:
    with Collector() as away:
        pass
    run_worker(empty_sqlite, [message()], away)
    with open_outbox(empty_sqlite) as outbox:
        assert outbox.status().counts["sent"] == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_without_the_extra_traces_that_are_wanted_are_refused_with_the_command_to_install(
    tmp_path: Path, wanted: bool
) -> None:
    blocked = "import sys; sys.modules['opentelemetry'] = None; from afilsql.cli import main; main()"
    settings = environment(f"sqlite:///{tmp_path / 'x.db'}", "http://127.0.0.1:9/")
    settings |= {"AFILSQL_TRACES": "true"} if wanted else {}
    command = [sys.executable, "-c", blocked, "worker", "--drain"]
    done = subprocess.run(command, env=settings, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == (3 if wanted else 0), done.stderr
    assert ("pip install 'afilsql[otel]'" in done.stderr) is wanted
