"""What watches a worker, as its settings say: put together, started and ended in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from afilsql.config import Settings
from afilsql.delivery.pulse import Pulse
from afilsql.errors import ConfigError
from afilsql.watching.watchers import Watcher, Watchers

if TYPE_CHECKING:
    from afilsql.delivery.alerter import Hook
    from afilsql.watching.meters import Meters
    from afilsql.watching.traces import Traces

#: Seconds that spans which wait get when the worker ends.
TRACES_CLOSE_SECONDS = 3.0
INSTALL_TRACES = "install what makes traces with `pip install 'afilsql[otel]'`, or take the setting away"


class Watching:
    """What watches one worker; without the settings for it, nothing, at no cost.

    Args:
        settings: Of the worker.
        environ: Environment variables: the OTEL_* ones.
        worker: Its name.

    Raises:
        ConfigError: Traces are wanted and what makes them is not installed.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str], *, worker: str) -> None:
        self.pulse = Pulse()
        self._settings = settings
        self._version = version("afilsql")
        self._meters = self._new_meters() if settings.metrics_port is not None else None
        self._traces = self._new_traces(environ, worker) if wants_traces(settings, environ) else None
        watchers: list[Watcher] = [w for w in (self._meters, self._traces) if w is not None]
        if self._meters is not None:
            from afilsql.watching.health import Health

            self._health = Health(self.pulse)
            watchers.append(self._health)
        self.watchers = Watchers(watchers)

    def lines_lost(self, count: int) -> None:
        """Count log lines that could not be written."""
        if self._meters is not None:
            self._meters.lines_lost(count)

    def hooks(self, hooks: Sequence[Hook]) -> list[Hook]:
        """Return the hooks of alerts, counted."""
        meters = self._meters
        return list(hooks) if meters is None else [_CountedHook(hook, meters) for hook in hooks]

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
            if self._meters is not None and self._settings.metrics_port is not None:
                from afilsql.service.databases import urls_of
                from afilsql.watching.depth import DepthReader
                from afilsql.watching.queue import QueueCollector
                from afilsql.watching.server import WatchServer

                queue = QueueCollector(DepthReader(*urls_of(self._settings).values()), self._meters.account)
                stack.callback(queue.close)
                self._meters.registry.register(queue)
                server = WatchServer(
                    self._settings.metrics_host,
                    self._settings.metrics_port,
                    frozen=self._health.frozen,
                    unready=self._health.unready,
                    registry=self._meters.registry,
                )
                ready(stack.enter_context(server).url)
            yield

    def _new_meters(self) -> Meters:
        from afilsql.watching.meters import Meters

        s = self._settings
        return Meters(s.configured, concurrency=s.concurrency, pulse=self.pulse, version=self._version)

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

    def __init__(self, hook: Hook, meters: Meters) -> None:
        self.name = hook.name
        self._hook = hook
        self._meters = meters

    def send(self, alert: Mapping[str, Any]) -> str | None:
        """See Hook."""
        failure: str | None = "failed"
        try:
            failure = self._hook.send(alert)
        finally:
            self._meters.alerted(self.name, failed=failure is not None)
        return failure

    def abandon(self) -> None:
        """See Hook."""
        self._hook.abandon()
