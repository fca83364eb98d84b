"""Messages a second of real worker processes, counted while all of them are busy.

The queue is written first. Counting begins once every worker has delivered some batches, so the start of the processes
is not in it, nor an engine's first look at the procedures; it ends before the queue does. A message counts when its row
says `sent`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from afilsql.config import Settings
from afilsql.outbox import open_outbox, schema
from afilsql.outbox.base import Outbox
from afilsql.outbox.engine import create_engine
from tests.benchmarks import processor
from tests.benchmarks.filling import fill
from tests.faults.processes import WORKER, SandboxProcess, WorkerProcess, sandbox, workers

#: Turns of all its senders after which a worker is warm: a procedure's first runs take seconds on some engines.
WARM = 10
#: No worker is faster; how many messages the queue needs is reckoned from it.
FASTEST = 3000
#: Seconds that starting may take, the first exchange on a slow engine included, while messages are sent already.
_STARTING = 5


def _default(name: str) -> str:
    return str(Settings.model_fields[name].default)


CONCURRENCY = int(_default("concurrency"))
#: What processes.environment sets for the tests, set back to what a user gets.
DEFAULTS = {f"AFILSQL_{name.upper()}": _default(name) for name in ("concurrency", "on_unknown")}


@dataclass(frozen=True, slots=True)
class Rate:
    """What was counted in a span of time.

    Attributes:
        messages: Sent and written back.
        seconds: How long.
        worker, api, engine: Processor seconds of all workers, of the simulated API, of the T-SQL engine where seen.
    """

    messages: int
    seconds: float
    worker: float = 0.0
    api: float = 0.0
    engine: float = 0.0

    @property
    def per_second(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def shares(self) -> str:
        """Milliseconds of processor for each message, by who spent them."""
        spent = {"worker": self.worker, "API": self.api, "T-SQL engine": self.engine}
        return ", ".join(f"{who} {1000 * s / max(1, self.messages):.2f} ms" for who, s in spent.items() if s)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Workers that are busy.

    Attributes:
        outbox: Whose rows they deliver.
        api: Where to.
        workers: Their processes.
        engine: That of the database.
    """

    outbox: Outbox
    api: SandboxProcess
    workers: list[WorkerProcess]
    engine: processor.Engine

    def count(self, seconds: float) -> Rate:
        """Count for so long.

        Raises:
            RuntimeError: The queue ran empty, so the workers were not busy all the time; or one of them ended.
        """
        sent, before, began = self._sent(), self._spent(), time.monotonic()
        time.sleep(seconds)
        status, after, passed = self.outbox.status(), self._spent(), time.monotonic() - began
        for worker in self.workers:
            if worker.poll() is not None:
                raise RuntimeError(f"a worker ended: {worker.said()[-2000:]}")
        if not status.counts["queued"]:
            raise RuntimeError("the queue ran empty: write more, or count a shorter time")
        spent = [b - a for a, b in zip(before, after, strict=True)]
        return Rate(status.counts["sent"] - sent, passed, *spent)

    def _sent(self) -> int:
        return self.outbox.status().counts["sent"]

    def _spent(self) -> tuple[float, float, float]:
        busy = sum(processor.seconds(worker.pid) for worker in self.workers)
        return busy, processor.seconds(self.api.pid), self.engine.seconds()


@contextmanager
def delivering(
    url: str, *, latency: float, count: int = 1, settle: float = 2.0, seconds: float, **settings: str
) -> Iterator[Delivery]:
    """Write a queue, start workers on it, and yield once all are busy; they end by themselves, as a service would.

    They start one after another: on an engine that takes seconds for its first look at a procedure, a second worker
    would wait for the line behind the first one longer than it may.

    Args:
        url: A database with nothing in it that waits.
        latency: Seconds the simulated API takes for an answer.
        count: Worker processes.
        settle: Seconds they get after that.
        seconds: How long is going to be counted; the queue is long enough for that.
        settings: Of the workers, which have the defaults otherwise.
    """
    settings = DEFAULTS | settings
    limit = FASTEST if latency == 0 else min(FASTEST, int(settings["AFILSQL_CONCURRENCY"]) / latency)
    rows = int(limit * count * (settle + seconds + _STARTING * count))
    fill(url, rows, chats=rows)
    with _connecting(url) as database, sandbox(latency) as api, open_outbox(url) as outbox, ExitStack() as running:
        started: list[WorkerProcess] = []
        try:
            for n in range(count):
                name = {"AFILSQL_WORKER_NAME": f"worker-{n}"}
                started += running.enter_context(workers(1, url, api.url, command=WORKER, **settings, **name))
                _wait(database, started, calls=1)
            _wait(database, started, calls=WARM * int(settings["AFILSQL_CONCURRENCY"]))
            time.sleep(settle)
            yield Delivery(outbox, api, started, processor.Engine(url))
        finally:
            # A killed one would leave its last statement to the engine, in a database that others are to use next.
            for process in started:
                process.terminate()
            for process in started:
                process.wait(timeout=120)


def _wait(database: sa.Engine, started: list[WorkerProcess], *, calls: int) -> None:
    """Wait until every worker has handed in so many calls.

    Raises:
        RuntimeError: That took two minutes.
    """
    give_up = time.monotonic() + 120
    handed_in = sa.select(sa.func.count()).select_from(schema.attempt).group_by(schema.attempt.c.worker)
    while True:
        with database.connect() as connection:
            if sum(made >= calls for made in connection.execute(handed_in).scalars()) == len(started):
                return
        if time.monotonic() > give_up:
            raise RuntimeError(f"the workers did not get warm: {started[-1].said()[-2000:]}")
        time.sleep(0.2)


@contextmanager
def _connecting(url: str) -> Iterator[sa.Engine]:
    engine = create_engine(url, autocommit=True)
    try:
        yield engine
    finally:
        engine.dispose()
