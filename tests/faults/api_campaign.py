"""Thousands of requests through two workers to an API that does wrong what can be done wrong, and the count.

    python -m tests.faults.api_campaign [--requests 2000] [--seed 1] [--on-unknown hold --on-unknown retry]

Each request meets, by chance, no fault or one of hostile_faults.py, once or twice; the port is closed now and
then. Lost is what was accepted and neither carried out nor left in the outbox as failed, uncertain or waiting, or
is called sent without having been carried out; duplicated what was carried out more than once; out of order
what was carried out after a later message of its conversation.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from afilsql.deploy import migrate
from afilsql.outbox import open_outbox
from afilsql.outbox.records import ItemDetail, Request
from tests.faults.hostile import HostileServer
from tests.faults.hostile_faults import FAULTS
from tests.faults.processes import ended, workers

#: Not those that hold the account, slow it down or put a row off for an hour: the campaign would not end.
KINDS = tuple(
    name for name, fault in FAULTS.items() if fault.outcome != "hold" and not fault.wait and "429" not in name
)
FAULTLESS = 0.4
GREETING = "Good morning."
PER_CONVERSATION = 8
PORT_CLOSED, PORT_OPEN = 0.3, 1.5
#: Most calls fail here, and the breaker would make that last; the API lists at once what it carried out.
SETTINGS = {
    "AFILSQL_READ_TIMEOUT": "0.5",
    "AFILSQL_CONNECT_TIMEOUT": "0.5",
    "AFILSQL_CONCURRENCY": "32",
    "AFILSQL_BREAKER_CALLS": "0",
    "AFILSQL_READ_BACK_AFTER": "0.5",
    "AFILSQL_READ_BACK_SETTLE": "2",
}


@dataclass(slots=True)
class Tally:
    """What became of the requests of one kind."""

    fault: str
    requests: int = 0
    injected: int = 0
    sent: int = 0
    retried: int = 0
    failed: int = 0
    uncertain: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The count.

    Attributes:
        kinds: By fault; a request that met the closed port counts under its own fault as well.
        total: Of all requests, each once.
        seconds: How long it took.
    """

    kinds: Sequence[Tally]
    total: Tally
    seconds: float

    def markdown(self) -> str:
        """Return the table."""
        names = [field.name for field in fields(Tally)]
        lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |"]
        lines.append("|---" + "|---:" * (len(names) - 1) + "|")
        lines += ["| " + " | ".join(str(getattr(t, name)) for name in names) + " |" for t in (*self.kinds, self.total)]
        return "\n".join(lines)


def plan(requests: int, seed: int) -> list[Request]:
    """Return the requests, each with a text of its own; the same seed plans the same."""
    chance = random.Random(seed)
    planned = []
    conversations = max(1, requests // PER_CONVERSATION)
    for number in range(requests):
        marker = f"[{chance.choice(KINDS)}~{chance.choice((1, 1, 2))}~{number}]"
        text = f"plain {number}" if chance.random() < FAULTLESS else f"{marker} order"
        chat = {"platform": "whatsapp", "platformid": "100", "destination": f"3460000{number % conversations:04}"}
        planned.append(Request("sendmessage", {**chat, "message": text}))
    return planned


def _greetings(requests: int) -> list[Request]:
    """One message without a fault for each conversation."""
    chats = dict.fromkeys(r.parameters["destination"] for r in plan(requests, 0))
    channel = {"platform": "whatsapp", "platformid": "100"}
    return [Request("sendmessage", {**channel, "destination": d, "message": GREETING}) for d in chats]


def run(requests: int, *, seed: int, on_unknown: str, folder: Path, seconds: float = 900, **settings: str) -> Report:
    """Send so many requests through two workers.

    Args:
        requests: How many.
        seed: Of the faults.
        on_unknown: The setting of that name.
        folder: Where the outbox goes.
        seconds: How long the workers may take.
        settings: More settings of the workers, by their names in the environment.
    """
    database = f"sqlite:///{folder / f'campaign-{on_unknown}.db'}"
    migrate(database)
    began = time.monotonic()
    with HostileServer(FAULTS) as api, open_outbox(database) as outbox:
        if on_unknown == "reconcile":  # each conversation has had a message, as one that is kept up for long has
            outbox.enqueue_many(_greetings(requests))
            with workers(1, database, api.url, **SETTINGS) as (first,):
                ended(first)
        ids = outbox.enqueue_many(plan(requests, seed))
        done = threading.Event()
        closing = threading.Thread(target=_close_now_and_then, args=(api, done))
        closing.start()
        try:
            with workers(2, database, api.url, AFILSQL_ON_UNKNOWN=on_unknown, **SETTINGS | settings) as processes:
                for process in processes:
                    ended(process, seconds)
        finally:
            done.set()
            closing.join()
        rows = [outbox.get(id) for id in ids]
        return count(rows, [text for text in api.carried if text != GREETING], api.injected, time.monotonic() - began)


def _close_now_and_then(api: HostileServer, done: threading.Event) -> None:
    while not done.wait(PORT_OPEN):
        with api.closed():
            done.wait(PORT_CLOSED)


def count(rows: Sequence[ItemDetail], carried: Sequence[str], injected: Counter[str], seconds: float) -> Report:
    """Compare what the outbox says with what the API carried out.

    Args:
        rows: Every accepted request.
        carried: Texts of what was carried out, in order.
        injected: How often each fault was met.
        seconds: How long it took.
    """
    times = Counter(carried)
    disordered = _out_of_order(rows, carried)
    kinds: dict[str, Tally] = {}
    total = Tally("all", injected=injected.total())
    closed = Tally("port closed")
    for row in rows:
        text = row.item.parameters["message"]
        kind = text[1 : text.index("~")] if text.startswith("[") else "none"
        refused = sum(t.error_code == "CONNECT" for t in row.history)
        closed.injected += refused
        total.injected += refused
        of_kind = kinds.setdefault(kind, Tally(kind, injected=injected[kind]))
        for tally in (of_kind, total, *([closed] if refused else [])):
            _add(tally, row, times[text], text in disordered)
    return Report([*(kinds[kind] for kind in sorted(kinds)), closed], total, seconds)


def _add(tally: Tally, row: ItemDetail, times: int, out_of_order: bool) -> None:
    status = row.item.status
    tally.requests += 1
    tally.sent += status == "sent"
    tally.failed += status == "failed"
    tally.uncertain += status == "uncertain"
    tally.retried += len(row.history) > 1
    tally.lost += times == 0 and status in ("sent", "cancelled")
    tally.duplicated += times > 1
    tally.out_of_order += out_of_order


def _out_of_order(rows: Iterable[ItemDetail], carried: Sequence[str]) -> set[str]:
    """Texts that were carried out, at any time, after a later one of their conversation."""
    place = {row.item.parameters["message"]: (row.item.parameters["destination"], row.item.id) for row in rows}
    latest: dict[str, int] = defaultdict(int)
    found = set()
    for text in carried:
        destination, id = place[text]
        if id < latest[destination]:
            found.add(text)
        latest[destination] = max(latest[destination], id)
    return found


def main() -> None:
    """Run and print; ends with 1 where something was lost or out of order, or duplicated although not retried."""
    parser = argparse.ArgumentParser(description="Random faults of the API, counted.")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--on-unknown", action="append", choices=("hold", "retry", "reconcile"))
    asked = parser.parse_args()
    good = True
    for on_unknown in asked.on_unknown or ("hold", "retry"):
        with tempfile.TemporaryDirectory() as folder:
            report = run(asked.requests, seed=asked.seed, on_unknown=on_unknown, folder=Path(folder))
        print(f"\n`on_unknown={on_unknown}`, {asked.requests} requests, seed {asked.seed}, {report.seconds:.0f} s\n")
        print(report.markdown(), flush=True)
        total = report.total
        good &= total.lost == total.out_of_order == 0 and (on_unknown == "retry" or total.duplicated == 0)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
