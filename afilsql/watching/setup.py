"""What watches a worker, as its settings say: put together, started and ended in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from afilsql.config import Settings
from afilsql.delivery.pulse import Pulse
from afilsql.errors import ConfigError
from afilsql.service.databases import urls_of
from afilsql.watching.watchers import Watcher, Watchers

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from afilsql.delivery.alerter import Hook
    from afilsql.delivery.terms import Terms
    from afilsql.watching.health import Health
    from afilsql.watching.meters import Meters, ProcessMeters
    from afilsql.watching.traces import Traces

#: Seconds that spans which wait get when the worker ends.
TRACES_CLOSE_SECONDS = 3.0
INSTALL_TRACES = "install what makes traces with `pip install 'afilsql[otel]'`, or take the setting away"


class Watching:
    """What watches the workers of one process; without the settings for it, nothing, at no cost.

    Args:
        settings: Of the process.
        environ: Environment variables: the OTEL_* ones.
        worker: Its name.

    Raises:
        ConfigError: Traces are wanted and what makes them is not installed; the databases cannot be named.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str], *, worker: str) -> None:
        self.pulse = Pulse()
        self._settings = settings
        self._version = version("afilsql")
        self._urls = urls_of(settings)
        self._process: ProcessMeters | None = None
        self._registries: dict[str, CollectorRegistry] = {}
        self._meters: dict[str, Meters] = {}
        self._health: dict[str, Health] = {}
        if settings.metrics_port is not None:
            self._measure()
        traces = self._traces = self._new_traces(environ, worker) if wants_traces(settings, environ) else None
        self._watchers: dict[str, Watchers] = {}
        for database in self._urls:
            found = (self._meters.get(database), traces, self._health.get(database))
            watchers: list[Watcher] = [w for w in found if w is not None]
            self._watchers[database] = Watchers(watchers)

    def of(self, database: str) -> Watchers:
        """Return what watches the worker of a database, as `urls_of` names it."""
        return self._watchers[database]

    def adopt(self, terms: Terms) -> None:
        """Count by the accounts of new terms."""
        for meters in self._meters.values():
            meters.adopt([account.name for account in terms.accounts], terms.concurrency)

    def lines_lost(self, count: int) -> None:
        """Count log lines that could not be written."""
        if self._process is not None:
            self._process.lines_lost(count)

    def hooks(self, hooks: Sequence[Hook]) -> list[Hook]:
        """Return the hooks of alerts, counted."""
        process = self._process
        return list(hooks) if process is None else [_CountedHook(hook, process) for hook in hooks]

    def frozen(self) -> str | None:
        """Return why the process should be restarted, None when it need not."""
        return next(iter(self._health.values())).frozen()

    def unready(self) -> str | None:
        """Return of which database nothing is delivered and why, None when all is well."""
        for database, health in self._health.items():
            if (why := health.unready()) is not None:
                return f"{database}: {why}" if database else why
        return None

    @contextmanager
    def serving(self, ready: Callable[[str], object]) -> Iterator[None]:
        """Serve /metrics and its like, and export traces, while entered.

        Args:
            ready: Called with the address once the port is taken.

        Raises:
            ConfigError: The port cannot be taken.
        """
        with ExitStack() as stack:
            if self._traces is not None:
                stack.callback(self._traces.close, TRACES_CLOSE_SECONDS)
            if self._process is not None and self._settings.metrics_port is not None:
                from afilsql.watching.server import WatchServer

                self._look_at_queues(stack)
                server = WatchServer(
                    self._settings.metrics_host,
                    self._settings.metrics_port,
                    frozen=self.frozen,
                    unready=self.unready,
                    registry=self._process.registry,
                )
                ready(stack.enter_context(server).url)
            yield

    def _measure(self) -> None:
        """Make the metrics: a single database's are told as they are, those of several by its name."""
        from prometheus_client import CollectorRegistry

        from afilsql.watching.databases import ByDatabase
        from afilsql.watching.health import Health
        from afilsql.watching.meters import Meters, ProcessMeters

        self._process = process = ProcessMeters(pulse=self.pulse, version=self._version)
        for database in self._urls:
            registry = self._registries[database] = (
                CollectorRegistry(auto_describe=True) if len(self._urls) > 1 else process.registry
            )
            s = self._settings
            self._meters[database] = Meters(registry, s.configured, concurrency=s.concurrency)
            self._health[database] = Health(self.pulse)
        if len(self._urls) > 1:
            process.registry.register(ByDatabase(self._registries))

    def _look_at_queues(self, stack: ExitStack) -> None:
        from afilsql.watching.depth import DepthReader
        from afilsql.watching.queue import PATIENCE, QueueCollector

        for database, url in self._urls.items():
            patience = PATIENCE / len(self._urls)  # one is looked at after the other
            queue = QueueCollector(DepthReader(url), self._meters[database].account, patience=patience)
            stack.callback(queue.close)
            self._registries[database].register(queue)

    def _new_traces(self, environ: Mapping[str, str], worker: str) -> Traces:
        try:
            from afilsql.watching.traces import Traces, tracer_provider
        except ImportError:
            raise ConfigError(f"traces are wanted and OpenTelemetry is not installed: {INSTALL_TRACES}") from None
        system = self._settings.database_url.partition(":")[0].partition("+")[0]
        provider = tracer_provider(environ, worker=worker, version=self._version)
        return Traces(provider, version=self._version, system=system)


def wants_traces(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Return whether traces are made: as the setting says, else where a variable names an endpoint for them."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    named = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return bool(named) if settings.traces is None else settings.traces


class _CountedHook:
    """A hook of alerts whose alerts are counted."""

    def __init__(self, hook: Hook, process: ProcessMeters) -> None:
        self.name = hook.name
        self._hook = hook
        self._process = process

    def send(self, alert: Mapping[str, Any]) -> str | None:
        """See Hook."""
        failure: str | None = "failed"
        try:
            failure = self._hook.send(alert)
        finally:
            self._process.alerted(self.name, failed=failure is not None)
        return failure

    def abandon(self) -> None:
        """See Hook."""
        self._hook.abandon()
