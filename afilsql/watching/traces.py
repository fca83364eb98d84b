"""A worker's work as OpenTelemetry spans: exchanges, calls of the API, lists kept, and each message from its request
until it was sent. They join the trace of who asked, where the request carries one.

Spans hold no message, no destination and no URL. Where they go, and how many, is said by the standard OTEL_* variables.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from afilsql.delivery.events import Event
from afilsql.outbox.records import Claim, Result
from afilsql.watching.codes import known
from afilsql.watching.watchers import RoundTrip

_CONTEXTS = TraceContextTextMapPropagator()


def tracer_provider(environ: Mapping[str, str], *, worker: str, version: str) -> TracerProvider:
    """Return what makes spans and exports them over OTLP/HTTP, as the OTEL_* variables say."""
    about: dict[str, str] = {"service.instance.id": worker, "service.version": version}
    if not environ.get("OTEL_SERVICE_NAME") and "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        about["service.name"] = "afilsql"
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Traces:
    """Makes the spans, after the fact; a Watcher.

    Args:
        provider: Makes tracers; its spans are exported by a thread of its own.
        version: Of afilsql.
        system: What the database is called: mssql or sqlite.
    """

    def __init__(self, provider: TracerProvider, *, version: str, system: str) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("afilsql", version)
        self._system = {"mssql": "microsoft.sql_server"}.get(system, system)
        self._lists = threading.local()  # the lists that the call under way in this thread has brought

    def notice(self, event: Event) -> None:
        """See Watcher."""

    def asked(self, trip: RoundTrip) -> None:
        """See Watcher. An exchange that moved nothing makes no span."""
        if trip.claim is not None:
            self._lists.trips = [*getattr(self._lists, "trips", ()), trip]
        elif trip.handed_in or trip.taken or trip.error:
            self._database(trip, Context())

    def calling(self, claim: Claim) -> None:
        """See Watcher."""
        self._lists.trips = []

    def called(self, claim: Claim, result: Result | None, began_ns: int, ended_ns: int) -> None:
        """See Watcher. The span of a message is made once it was sent: before, nobody knows how long it takes."""
        context = _CONTEXTS.extract({"traceparent": claim.traceparent}) if claim.traceparent else Context()
        about: dict[str, Any] = {
            "messaging.system": "afilsql",
            "messaging.message.id": str(claim.request_id),
            "afilsql.id": claim.id,
            "afilsql.account": claim.account,
        }
        call_ended = ended_ns
        if result is not None:
            began_ns = _nanoseconds(result.started_at)
            call_ended = began_ns + result.duration_ms * 1_000_000
        if result is not None and result.kind == "sent" and claim.created_at is not None:
            start = min(_nanoseconds(claim.created_at), began_ns)
            whole = self._tracer.start_span(
                f"{claim.method} request", context, SpanKind.CONSUMER, about, start_time=start
            )
            whole.end(max(ended_ns, call_ended))
            context = trace.set_span_in_context(whole, context)
        self._call(claim, result, context, about, (began_ns, call_ended))
        for trip in getattr(self._lists, "trips", ()):
            self._database(trip, context)

    def _call(
        self, claim: Claim, result: Result | None, context: Context, about: dict[str, Any], at: tuple[int, int]
    ) -> None:
        method = claim.method if claim.check is None else "getmessages"
        details = {"afilsql.method": method, "afilsql.attempt": claim.attempt, "afilsql.read_back": bool(claim.check)}
        span = self._tracer.start_span(f"call {method}", context, SpanKind.CLIENT, about | details, start_time=at[0])
        if result is None:
            span.set_attribute("error.type", "LEASE_LOST")
            span.set_status(Status(StatusCode.ERROR))
        else:
            span.set_attribute("afilsql.outcome", result.kind)
            if result.http_status is not None:
                span.set_attribute("http.response.status_code", result.http_status)
            if result.error_code is not None:
                span.set_attribute("error.type", known(result.error_code))
                span.set_status(Status(StatusCode.ERROR))
        span.end(at[1])

    def _database(self, trip: RoundTrip, context: Context) -> None:
        about: dict[str, Any] = {"db.system.name": self._system, "db.operation.name": trip.operation}
        if trip.operation == "exchange":
            about |= {"afilsql.handed_in": trip.handed_in, "afilsql.taken": trip.taken}
        if trip.list is not None:
            about |= {"afilsql.list": trip.list, "afilsql.rows": trip.rows}
        span = self._tracer.start_span(trip.operation, context, SpanKind.CLIENT, about, start_time=trip.began_ns)
        if trip.error is not None:
            span.set_attribute("error.type", trip.error)
            span.set_status(Status(StatusCode.ERROR))
        span.end(trip.ended_ns)

    def close(self, seconds: float) -> None:
        """Export what is left, `seconds` at most: a collector that is away must not keep the worker from ending."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(seconds)


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000) * 1_000
