"""The queue's depth as metrics: asked of the database when somebody looks, and not more often than it should be."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from afilsql.watching.depth import ACCOUNT_STATES, Depth

#: Seconds that pass between two looks at least, that a scrape waits for one at most, and after which what was seen last
#: is not shown any more.
EVERY, PATIENCE, STALE = 15.0, 2.0, 60.0


class Reader(Protocol):
    """See DepthReader."""

    def read(self) -> Depth: ...

    def close(self) -> None: ...


class QueueCollector:
    """Shows the depth to Prometheus; a thread of its own asks for it, so a scrape never hangs in the database.

    Args:
        reader: Asks the database; belongs to the thread from now on.
        account: Gives the label of an account.
        every: Seconds between two looks.
        patience: Seconds that a scrape waits for one at most.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        reader: Reader,
        account: Callable[[str], str],
        *,
        every: float = EVERY,
        patience: float = PATIENCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._account = account
        self._every = every
        self._patience = patience
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._wanted = False
        self._closing = False
        self._looked_at = float("-inf")
        self._seen: tuple[float, Depth] | None = None
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="queue-depth", daemon=True)
        self._thread.start()

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values: a registry asks when it takes this up."""
        return self._metrics(None, 0)

    def collect(self) -> Iterable[Metric]:
        """Return the metrics, after a look at the database when the last one is some time ago."""
        with self._changed:
            if self._monotonic() - self._looked_at >= self._every:
                self._wanted = True
                self._changed.notify_all()
            self._changed.wait_for(lambda: not self._wanted, self._patience)
            seen, failures = self._seen, self._failures
        fresh = seen[1] if seen is not None and self._monotonic() - seen[0] <= STALE else None
        return self._metrics(fresh, failures)

    def close(self) -> None:
        """Have the thread end; it is not waited for when it hangs in the database."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(1.0)

    def _run(self) -> None:
        while self._next():
            try:
                depth = self._reader.read()
            except Exception:  # noqa: BLE001 - an outage is the worker's to tell of; here the next look may succeed
                depth = None
            with self._changed:
                now = self._monotonic()
                if depth is None:
                    self._failures += 1
                else:
                    self._seen = (now, depth)
                self._looked_at, self._wanted = now, False
                self._changed.notify_all()
        self._reader.close()

    def _next(self) -> bool:
        """Wait until a look is wanted; False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._closing)
            return not self._closing

    def _metrics(self, depth: Depth | None, failures: int) -> list[Metric]:
        rows = GaugeMetricFamily("afilsql_queue_rows", "Requests on their way, by state.", labels=("account", "state"))
        oldest = GaugeMetricFamily(
            "afilsql_queue_oldest_seconds", "Since the oldest request that is due was due.", labels=("account",)
        )
        states = GaugeMetricFamily(
            "afilsql_account_state", "1 for the state an account is in.", labels=("account", "state")
        )
        failed = CounterMetricFamily("afilsql_queue_read_errors", "Looks at the queue's depth that failed.")
        failed.add_metric((), failures)
        if depth is not None:
            items: dict[tuple[str, str], int] = defaultdict(int)
            ages: dict[str, float] = {}
            for w in depth.waiting:
                account = self._account(w.account)
                items[account, w.state] += w.items
                if w.oldest_seconds is not None:
                    ages[account] = max(ages.get(account, 0.0), float(w.oldest_seconds))
            for labels, count in sorted(items.items()):
                rows.add_metric(labels, count)
            for account, age in sorted(ages.items()):
                oldest.add_metric((account,), age)
            now_in = {(self._account(name), state) for name, state in depth.accounts}
            for account in sorted({account for account, _ in now_in}):
                for state in ACCOUNT_STATES:
                    states.add_metric((account, state), (account, state) in now_in)
        return [rows, oldest, states, failed]
