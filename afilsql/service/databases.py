"""Several databases of one server, served by one worker process: an outbox and a loop each, side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue

import sqlalchemy as sa

from afilsql.config import Settings
from afilsql.delivery.handover import Totals
from afilsql.delivery.pulse import Pulse
from afilsql.delivery.terms import Terms
from afilsql.delivery.worker import Until, Worker
from afilsql.errors import ConfigError

#: Seconds between two looks at whether a worker that was stopped may be left.
_LOOK_SECONDS = 1.0


def urls_of(settings: Settings) -> dict[str, str]:
    """Return the URL of each database to serve, by its name; that of a single one is called "".

    Raises:
        ConfigError: More are named and the URL is not one in which a database can be put for another.
    """
    if not settings.databases:
        return {"": settings.database_url}
    try:
        url = sa.make_url(settings.database_url)
    except (sa.exc.ArgumentError, ValueError):  # the latter for a port, and may quote part of a password
        url = sa.URL.create("none")
    if url.drivername.partition("+")[0] != "mssql" or not url.database:
        raise ConfigError(
            "AFILSQL_DATABASES names databases on a server, so AFILSQL_DATABASE_URL must be like "
            "mssql+pyodbc://user:password@server:1433/database: put the first one there"
        )
    names = dict.fromkeys([url.database, *settings.databases])
    return {name: url.set(database=name).render_as_string(hide_password=False) for name in names}


class JointPulse:
    """Beats for several loops: whenever all that still run have beaten since it last did.

    Args:
        whole: Is beaten.
        count: How many loops there are.
    """

    def __init__(self, whole: Pulse, count: int) -> None:
        self._whole = whole
        self._missing = self._all = frozenset(range(count))
        self._lock = threading.Lock()

    def part(self, number: int) -> Pulse:
        """Return the pulse of one loop, numbered from 0."""
        return _Part(self, number)

    def left(self, number: int) -> None:
        """Wait no more for a loop that has ended."""
        with self._lock:
            self._all -= {number}
            self._missing -= {number}

    def beaten(self, number: int) -> None:
        """Note that a loop moved."""
        with self._lock:
            self._missing -= {number}
            if not self._missing:
                self._missing = self._all
                self._whole.beat()


class _Part(Pulse):
    """The pulse of one loop of several."""

    def __init__(self, joint: JointPulse, number: int) -> None:
        super().__init__()
        self._joint = joint
        self._number = number

    def beat(self) -> None:
        """Note that this loop moved."""
        super().beat()
        self._joint.beaten(self._number)


class Workers:
    """One worker or several, run as one.

    Args:
        workers: By the name of the database.
        on_end: Told how each ended: its totals, or the error that ended it.
    """

    def __init__(
        self, workers: Mapping[str, Worker], on_end: Callable[[str, Totals | Exception], None] = lambda *_: None
    ) -> None:
        self._workers = workers
        self._on_end = on_end
        self._news: SimpleQueue[None] = SimpleQueue()

    def stop(self) -> None:
        """See Worker.stop."""
        for worker in self._workers.values():
            worker.stop()
        self._news.put(None)

    def adopt(self, terms: Terms) -> None:
        """See Worker.adopt."""
        for worker in self._workers.values():
            worker.adopt(terms)

    def run(self, *, until: Until) -> None:
        """Run them all to their ends, each in a thread; the others go on when one fails.

        The calling thread only waits, so that signals are handled at once, whatever a worker hangs in. One that may be
        left is not waited for.

        Raises:
            Exception: What ended the first that failed, once all have ended.
        """
        running = dict(self._workers)
        failures: list[Exception] = []
        lock = threading.Lock()

        def end(name: str, how: Totals | Exception) -> None:
            with lock:
                if running.pop(name, None) is None:
                    return
                if isinstance(how, Exception):
                    failures.append(how)
                self._on_end(name, how)
            self._news.put(None)

        def one(name: str, worker: Worker) -> None:
            try:
                end(name, worker.run(until=until))
            except Exception as error:  # noqa: BLE001 - raised below, when the others have ended too
                end(name, error)

        for item in self._workers.items():
            threading.Thread(target=one, args=item, name=f"worker {item[0]}".rstrip(), daemon=True).start()
        while running:
            with suppress(Empty):
                self._news.get(timeout=_LOOK_SECONDS)
            for name, worker in tuple(running.items()):
                if worker.may_be_left:
                    end(name, worker.totals)
        if failures:
            raise failures[0]
