"""Look at a running worker the way its watchers do: over HTTP, with Prometheus' own parser."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.error import HTTPError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.faults.processes import WorkerProcess
from tests.patience import PATIENCE


class Watched:
    """The port of a worker process started with AFILSQL_METRICS_PORT=0; found in its log."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        wait_for(lambda: process.events("watching"), "the worker serves nothing")
        self.url: str = process.events("watching")[0]["url"]

    def get(self, path: str) -> tuple[int, str]:
        """Return (HTTP status, body)."""
        try:
            with urlopen(self.url + path, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def get_ready(self) -> None:
        """Wait until it says that it is ready; a loaded engine takes its time for a procedure's first run."""

        def ready() -> bool:
            assert self._process.poll() is None, self._process.said()[-2000:]
            return self.get("/readyz") == (200, "ok\n")

        wait_for(ready, "the worker did not get ready")

    def text(self) -> str:
        status, body = self.get("/metrics")
        assert status == 200
        return body

    def values(self) -> dict[str, float]:
        """Every sample as Prometheus reads it: name{label="value",…} in the order of the labels' names."""
        found = {}
        for family in text_string_to_metric_families(self.text()):
            for sample in family.samples:
                labels = ",".join(f'{k}="{v}"' for k, v in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found

    def value(self, sample: str) -> float:
        """One sample, 0 when it is not there."""
        return self.values().get(sample, 0.0)

    def wait(self, sample: str, expected: float, seconds: float = PATIENCE) -> None:
        wait_for(lambda: self.value(sample) == expected, f"{sample} did not become {expected}", seconds)


def wait_for(condition: Callable[[], object], otherwise: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)
