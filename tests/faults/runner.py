"""Run a worker as `afilsql worker` does, with a lease and idle pauses of any length and a wall clock that jumps.

python -m tests.faults.runner --lease 2 --jump -3600 --after 1
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta
from random import random

from afilsql import logs
from afilsql.clients import Clients
from afilsql.config import load_settings
from afilsql.credentials import Logins
from afilsql.delivery.pace import Pace
from afilsql.delivery.worker import Worker, utcnow
from afilsql.outbox import open_outbox
from afilsql.outbox.base import Outbox
from afilsql.outbox.sqlite import SqliteOutbox
from afilsql.service.signals import on_signals


class JumpingClock:
    """The time in UTC, and from `after` seconds on the time plus `jump` seconds."""

    def __init__(self, jump: float, after: float) -> None:
        self._jump = timedelta(seconds=jump)
        self._at = time.monotonic() + after

    def __call__(self) -> datetime:
        return utcnow() + (self._jump if time.monotonic() >= self._at else timedelta())


def main() -> None:
    """Run until stopped by SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lease", type=int, default=120)
    parser.add_argument("--jump", type=float, default=0.0)
    parser.add_argument("--after", type=float, default=0.0)
    parser.add_argument("--idle", type=float, help="seconds of every pause between exchanges")
    options = parser.parse_args()
    idle: float | None = options.idle
    pace = Pace(random) if idle is None else Pace(random, idle=(idle, idle), heartbeat=idle)
    settings = load_settings()
    clock = JumpingClock(options.jump, options.after)
    embedded = settings.database_url.startswith("sqlite")
    outbox: Outbox = (
        SqliteOutbox(settings.database_url, clock=clock) if embedded else open_outbox(settings.database_url)
    )
    logins = Logins(load_settings, config=None, on_change=lambda _: None, on_trouble=lambda _, __: None)
    with (
        logs.logging_to(sys.stderr, level="debug", format="json") as logger,
        closing(Clients(settings, logins)) as clients,
        outbox,
    ):
        worker = Worker(
            outbox,
            clients,
            name=settings.worker_name or "runner",
            concurrency=settings.concurrency,
            lease_seconds=options.lease,
            grace_seconds=settings.grace_seconds,
            on_unknown=settings.on_unknown,
            on_event=lambda event: logs.log_event(logger, event),
            clock=clock,
            pace=pace,
        )
        on_signals(worker.stop, worker.stop)
        worker.run()


if __name__ == "__main__":
    main()
