"""What a process and its workers count of themselves, for Prometheus.

Labels are bounded: accounts of the settings, known codes, words.
Counting is in memory; a value's lock is held for an addition and never over I/O.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from afilsql.api.methods import METHODS
from afilsql.delivery import events
from afilsql.delivery.events import Event
from afilsql.delivery.pulse import Pulse
from afilsql.outbox.records import Claim, Result
from afilsql.watching.codes import OTHER, known
from afilsql.watching.watchers import RoundTrip

M = TypeVar("M", Counter, Histogram)

#: Upper bounds in seconds: of a call or a round trip, and of a message's way from its EXEC to the API.
FAST = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SLOW = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
_VERDICTS = {"sent": "arrived", "retry": "absent", "failed": "absent", "hold": "account held"}


class ProcessMeters:
    """The metrics of the process as a whole, whichever databases it serves.

    Args:
        pulse: Of its loop, or of all its loops together.
        version: Of afilsql.

    Attributes:
        registry: Holds the metrics.
    """

    def __init__(self, *, pulse: Pulse, version: str) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        build = {"version": version, "python": platform.python_version()}
        Info("afilsql_build", "What runs.", registry=registry).info(build)
        age = Gauge("afilsql_loop_age_seconds", "Since the worker's loop moved.", registry=registry)
        age.set_function(pulse.age)
        self._alerts = Counter("afilsql_alerts", "Alerts handed to a hook.", ("hook", "outcome"), registry=registry)
        self._lines_lost = Counter("afilsql_log_lines_lost", "Log lines that could not be written.", registry=registry)

    def alerted(self, hook: str, failed: bool) -> None:
        """Count an alert that a hook was given."""
        self._alerts.labels(hook, "failed" if failed else "sent").inc()

    def lines_lost(self, count: int) -> None:
        """Count log lines that could not be written."""
        self._lines_lost.inc(count)


class Meters:
    """The metrics of one database's worker; a Watcher.

    Args:
        registry: Holds the metrics.
        accounts: Of the worker's settings; others are counted as "other".
        concurrency: Calls it makes at a time at most.
    """

    def __init__(self, registry: CollectorRegistry, accounts: Collection[str], *, concurrency: int) -> None:
        self._accounts = frozenset(accounts)
        self._by_account: list[tuple[Counter | Histogram, Sequence[str]]] = []

        def labelled(metric: M, labels: Sequence[str]) -> M:
            if "account" in labels:
                self._by_account.append((metric, labels))
            return metric

        def counter(name: str, text: str, *labels: str) -> Counter:
            return labelled(Counter(f"afilsql_{name}", text, labels, registry=registry), labels)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"afilsql_{name}", text, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return labelled(Histogram(f"afilsql_{name}", text, labels, buckets=buckets, registry=registry), labels)

        self._senders = gauge("senders", "Calls that may run at a time.")
        self._senders.set(concurrency)
        self._in_flight = gauge("calls_in_flight", "Claims that senders are busy with.")
        self._requests = counter(
            "requests",
            "Calls of the API that ended, by what becomes of the row; kind is send, get or poll (of a subscription).",
            *("account", "kind", "outcome", "code"),
        )
        self._read_backs = counter(
            "read_backs", "Looks for an uncertain send in its conversation, by verdict.", "account", "verdict"
        )
        self._listed = counter("listed_rows", "Rows of lists that answers brought and were kept.", "account", "list")
        self._sent_after = histogram(
            "enqueue_to_sent_seconds",
            "From the request, or the time it was to be sent at, until the API took it, as the worker's clock and the "
            "database's say together.",
            SLOW,
            "account",
        )
        self._call = histogram("call_seconds", "Calls of the API.", FAST, "kind")
        self._trips = histogram(
            "database_call_seconds",
            "Round trips to the database: an exchange that takes rows (claim), hands in results (complete), both or "
            "neither (idle); a list that is kept (receive); purging (retention).",
            FAST,
            "operation",
        )
        self._trip_errors = counter("database_errors", "Round trips that failed.", "operation")
        self._outages = counter("database_outages", "Times the database went away.")
        self._up = gauge("database_up", "1 while the database takes part.")
        self._leases = counter("leases_lost", "Rows whose lease had passed to another or ran out.")
        self._refused = counter("results_refused", "Results that the database refused for good.")
        self._opened = counter("breaker_opened", "Times this worker opened an account's breaker.", "account")
        self._held = counter("account_held", "Times an account was put on hold for its credentials.", "account")

    def adopt(self, accounts: Collection[str], concurrency: int) -> None:
        """Count by these accounts from now on; of those that are gone nothing is told any more."""
        self._senders.set(concurrency)
        gone = self._accounts - set(accounts)
        self._accounts = frozenset(accounts)
        for metric, names in self._by_account:
            samples = [sample.labels for family in metric.collect() for sample in family.samples]
            # Of a histogram each bucket is a sample, of its labels one more.
            found = {tuple(of[name] for name in names) for of in samples if of["account"] in gone}
            for values in found:
                metric.remove(*values)

    def account(self, name: str) -> str:
        """Return the label of an account."""
        return name if name in self._accounts else OTHER

    def notice(self, event: Event) -> None:
        """See Watcher."""
        match event:
            case events.Delivered():
                labels = (self.account(event.account), _kind(event.method, event.poll), event.kind, known(event.code))
                self._requests.labels(*labels).inc()
            case events.ReadBack():
                undecided = "undecided" if event.final else "looked again"
                self._read_backs.labels(self.account(event.account), _VERDICTS.get(event.kind, undecided)).inc()
            case events.DatabaseLost():
                self._outages.inc()
                self._up.set(0)
            case events.DatabaseBack():
                self._up.set(1)
            case events.LeaseLost():
                self._leases.inc()
            case events.ResultRefused():
                self._refused.inc()
            case events.BreakerOpened():
                self._opened.labels(self.account(event.account)).inc()
            case events.AccountHeld():
                self._held.labels(self.account(event.account)).inc()

    def asked(self, trip: RoundTrip) -> None:
        """See Watcher."""
        operation = trip.operation
        if operation == "exchange":
            operation = ("both" if trip.taken else "complete") if trip.handed_in else "claim" if trip.taken else "idle"
        self._trips.labels(operation).observe(trip.seconds)
        if trip.error is not None:
            self._trip_errors.labels(operation).inc()
        elif trip.operation == "exchange":
            self._up.set(1)
        elif trip.claim is not None:
            self._listed.labels(self.account(trip.claim.account), str(trip.list)).inc(trip.rows)

    def calling(self, claim: Claim) -> None:
        """See Watcher."""
        self._in_flight.inc()

    def called(self, claim: Claim, result: Result | None, began_ns: int, ended_ns: int) -> None:
        """See Watcher."""
        self._in_flight.dec()
        if result is None:
            return
        self._call.labels(_kind(claim.method, claim.poll)).observe(result.duration_ms / 1000)
        if result.kind == "sent" and claim.check is None and not claim.poll and claim.created_at is not None:
            wanted = claim.wanted_at or claim.created_at
            ended = result.started_at.timestamp() + result.duration_ms / 1000
            self._sent_after.labels(self.account(claim.account)).observe(max(0.0, ended - wanted.timestamp()))


def _kind(method: str, poll: bool) -> str:
    spec = METHODS.get(method)
    return "poll" if poll else "send" if spec is None or spec.is_send else "get"
