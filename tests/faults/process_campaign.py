"""Kill workers at random moments, again and again, and count what became of every request.

    python -m tests.faults.process_campaign --database sqlite --kills 200 --seed 1

Two `afilsql worker` processes deliver to the simulated API, in a process of its own, while a producer enqueues without
pause; at each kill one worker gets SIGKILL and is started again. Then all is drained and counted.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from afilsql.deploy import migrate
from afilsql.outbox import open_outbox
from tests import engines
from tests.faults.processes import WORKER, WorkerProcess, ended, launch, sandbox
from tests.faults.traffic import Audit, Producer, audit, drained, wait_until
from tests.patience import PATIENCE

WORKERS = 2
LEASE_SECONDS = "5"
#: The simulated API lists at once what it carried out.
READ_BACK = {"AFILSQL_READ_BACK_AFTER": "0.5", "AFILSQL_READ_BACK_SETTLE": "3"}


@dataclass(frozen=True)
class Outcome:
    """What a campaign counted."""

    kills: int
    seconds: float
    audit: Audit


def campaign(
    database: str,
    *,
    kills: int,
    seed: int,
    on_unknown: str = "hold",
    pause: float = 0.8,
    latency: float = 0.06,
    conversations: int = 200,
    rate: float = 150.0,
) -> Outcome:
    """Run it on a migrated, empty database.

    Args:
        database: Its URL.
        kills: How many times a worker is killed.
        seed: Of the moments, of who is killed, and of the producer.
        on_unknown: AFILSQL_ON_UNKNOWN of the workers.
        pause: Seconds between two kills on average.
        latency: Seconds the simulated API takes to answer, after it has carried a call out.
        conversations: How many there are; each has had one message delivered before the first kill.
        rate: Messages enqueued a second.
    """
    chance = random.Random(seed)
    settings = {"AFILSQL_LEASE_SECONDS": LEASE_SECONDS, "AFILSQL_ON_UNKNOWN": on_unknown, **READ_BACK}

    def start(n: int) -> WorkerProcess:
        return launch(WORKER, database, api.url, AFILSQL_WORKER_NAME=f"worker-{n}", **settings)

    with ExitStack() as stack:
        api = stack.enter_context(sandbox(latency))
        outbox = stack.enter_context(open_outbox(database))
        processes = [start(n) for n in range(WORKERS)]
        stack.callback(lambda: [process.end() for process in processes])
        producer = Producer(database, conversations=conversations, rate=rate, seed=seed)
        producer.once_each()
        wait_until(lambda: drained(outbox), "the first message of each conversation was not sent", every=0.2)
        began = time.monotonic()
        with producer:
            for _ in range(kills):
                time.sleep(chance.uniform(0, 2 * pause))
                victim = chance.randrange(WORKERS)
                assert processes[victim].poll() is None, processes[victim].said()[-2000:]
                processes[victim].end()
                processes[victim] = start(victim)
        wait_until(lambda: drained(outbox), "the queue was not drained", PATIENCE + kills, every=0.5)
        seconds = time.monotonic() - began
        # The one that was started last may still be starting, and would die of the signal as any program does.
        wait_until(
            lambda: all(p.events("worker_started") for p in processes), "a worker did not start again", every=0.1
        )
        for process in processes:
            process.terminate()
        for process in processes:
            ended(process)
        return Outcome(kills, seconds, audit(outbox, producer.accepted, api.received()))


@contextmanager
def made(database: str) -> Iterator[str]:
    """Yield the URL of a new, migrated database: `sqlite`, or on a T-SQL server whose URL is given."""
    if database == "sqlite":
        with tempfile.TemporaryDirectory(prefix="afilsql-campaign-") as folder:
            url = f"sqlite:///{Path(folder) / 'outbox.db'}"
            migrate(url)
            yield url
    else:
        with engines.database(database) as url:
            migrate(url)
            yield url


def main() -> None:
    """Run one campaign and print its counts as a row of a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="sqlite", help="`sqlite`, or the URL of a T-SQL server's master database")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two kills on average")
    parser.add_argument("--on-unknown", default="hold", help="AFILSQL_ON_UNKNOWN: hold, retry, reconcile")
    options = parser.parse_args()
    with made(options.database) as url:
        outcome = campaign(
            url, kills=options.kills, seed=options.seed, on_unknown=options.on_unknown, pause=options.pause
        )
    print("| database | on_unknown | seed | kills | seconds | accepted | arrived | lost | twice | out of order "
          "| uncertain, arrived | uncertain, absent | rows by status |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    a, kind = outcome.audit, "SQLite" if options.database == "sqlite" else "T-SQL"
    cells = (
        kind, options.on_unknown, options.seed, outcome.kills, round(outcome.seconds), a.accepted, a.arrived, a.lost,
        a.twice, a.out_of_order, a.uncertain_arrived, a.uncertain_absent, dict(a.statuses),
    )  # fmt: skip
    print("|", " | ".join(map(str, cells)), "|")


if __name__ == "__main__":
    main()
