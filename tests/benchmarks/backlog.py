"""A backlog after an outage: is it worked off evenly, and does the worker's memory stay where it is?

    python -m tests.benchmarks.backlog [--rows 1000000] [--seconds 120] [--database sqlite]

Rows are written into the outbox, one worker process delivers them to the simulated API (a process of its own), and
every few seconds the rate and the worker's memory are read. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from afilsql.outbox import open_outbox
from tests.benchmarks.filling import fill
from tests.faults.process_campaign import made
from tests.faults.processes import WORKER, launch, sandbox

EVERY = 5.0


def memory(pid: int) -> tuple[float, float]:
    """Return a process's memory now and at its highest, in MB."""
    values = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(values["VmRSS"].split()[0]) / 1024, int(values["VmHWM"].split()[0]) / 1024


def measure(url: str, seconds: float, **settings: str) -> Iterator[tuple[float, int, float, float]]:
    """Yield (seconds since the start, sent so far, MB now, MB at the highest) until the time is over."""
    with sandbox(0.0) as api, open_outbox(url) as outbox:
        worker = launch(WORKER, url, api.url, **settings)
        try:
            began = time.monotonic()
            while (passed := time.monotonic() - began) < seconds:
                time.sleep(EVERY)
                assert worker.poll() is None, worker.said()[-2000:]
                counts = outbox.status().counts
                yield time.monotonic() - began, counts["sent"], *memory(worker.pid)
                if not counts["queued"] and passed > EVERY:
                    return
        finally:
            worker.end()


def main() -> None:
    """Run it and print a line every few seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--chats", type=int, default=50_000, help="conversations they are spread over")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--database", default="sqlite", help="`sqlite`, or the URL of a T-SQL server's master database")
    asked = parser.parse_args()
    with made(asked.database) as url:
        began = time.monotonic()
        fill(url, asked.rows, asked.chats)
        print(f"{asked.rows} rows written in {time.monotonic() - began:.0f} s")
        before = (0.0, 0)
        settings = {"AFILSQL_CONCURRENCY": "32", "AFILSQL_LOG_LEVEL": "warning"}
        for passed, sent, now, highest in measure(url, asked.seconds, **settings):
            rate = (sent - before[1]) / (passed - before[0])
            before = (passed, sent)
            print(
                f"{passed:6.0f} s  {sent:8} sent  {rate:6.0f}/s  {now:6.1f} MB now  {highest:6.1f} MB highest",
                flush=True,
            )


if __name__ == "__main__":
    main()
