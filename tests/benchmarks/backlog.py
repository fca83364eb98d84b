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

import sqlalchemy as sa

from afilsql.outbox import open_outbox
from afilsql.outbox.engine import create_engine
from tests.faults.process_campaign import made
from tests.faults.processes import WORKER, launch, sandbox

EVERY = 5.0
_ROWS = """
WITH n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < :rows)
INSERT INTO outbox (request_id, account, method, platform, platformid, destination, message, priority, status, turn,
    due_at, attempts, max_attempts, conversation, created_at, created_by)
SELECT printf('%032x', v), 'default', 'sendmessage', 'whatsapp', '100', '346' || (v % :chats), 'message ' || v, 5,
    'queued', 0, '2026-01-01 00:00:00.000000', 0, 8, 'default' || char(31) || 'whatsapp' || char(31) || '100' ||
    char(31) || '346' || (v % :chats), '2026-01-01 00:00:00.000000', 'benchmark' FROM n
"""
_ROWS_TSQL = """
INSERT INTO afil.outbox (request_id, account, method, platform, platformid, destination, message, priority, status,
    turn, due_at, attempts, max_attempts, conversation, created_at, created_by)
SELECT NEWID(), N'default', 'sendmessage', 'whatsapp', N'100', CONCAT(N'346', v % {chats}), CONCAT(N'message ', v), 5,
    'queued', 0, SYSUTCDATETIME(), 0, 8, CONCAT(N'default', NCHAR(31), N'whatsapp', NCHAR(31), N'100', NCHAR(31),
    N'346', v % {chats}), SYSUTCDATETIME(), N'benchmark'
FROM (SELECT TOP ({rows}) ROW_NUMBER() OVER (ORDER BY a.object_id) AS v
      FROM sys.all_columns AS a CROSS JOIN sys.all_columns AS b) AS n
"""


def fill(url: str, rows: int, chats: int) -> None:
    """Write the backlog, spread over so many conversations."""
    engine = create_engine(url)
    with engine.begin() as connection:
        if url.startswith("sqlite"):
            connection.execute(sa.text(_ROWS), {"rows": rows, "chats": chats})
        else:
            connection.exec_driver_sql(_ROWS_TSQL.format(rows=rows, chats=chats))
    engine.dispose()


def memory(pid: int) -> tuple[float, float]:
    """Return a process's memory now and at its highest, in MB."""
    values = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(values["VmRSS"].split()[0]) / 1024, int(values["VmHWM"].split()[0]) / 1024


def measure(url: str, seconds: float) -> Iterator[tuple[float, int, float, float]]:
    """Yield (seconds since the start, sent so far, MB now, MB at the highest) until the time is over."""
    with sandbox(0.0) as api, open_outbox(url) as outbox:
        worker = launch(WORKER, url, api.url, AFILSQL_CONCURRENCY="32", AFILSQL_LOG_LEVEL="warning")
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
        for passed, sent, now, highest in measure(url, asked.seconds):
            rate = (sent - before[1]) / (passed - before[0])
            before = (passed, sent)
            print(
                f"{passed:6.0f} s  {sent:8} sent  {rate:6.0f}/s  {now:6.1f} MB now  {highest:6.1f} MB highest",
                flush=True,
            )


if __name__ == "__main__":
    main()
