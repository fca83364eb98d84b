"""A producer of numbered messages, and the count of what became of them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from afilsql.errors import DatabaseUnavailable
from afilsql.outbox import open_outbox
from afilsql.outbox.base import Outbox
from afilsql.outbox.engine import create_engine, driver_cursor
from afilsql.outbox.records import Request
from tests.emptying import empty
from tests.patience import PATIENCE


def request(conversation: int, number: int) -> Request:
    """Return a message that says which one it is; sent twice by its producer, it is accepted once."""
    destination = f"3460000{conversation:04}"
    parameters = {"platform": "whatsapp", "platformid": "100", "destination": destination}
    text = f"{destination}/{number}"
    return Request("sendmessage", {**parameters, "message": text}, dedup_key=text)


class Producer:
    """Enqueues without pause from a thread until stopped, over many conversations by chance.

    An outage of the database is sat through: a batch is repeated until it is accepted, and its keys keep it single.

    Args:
        database: URL of the outbox.
        conversations: How many there are.
        rate: Messages a second.
        seed: Of the choice of conversations.

    Attributes:
        accepted: Texts by id of what the outbox accepted.
        refused: What the outbox said meanwhile.
    """

    def __init__(self, database: str, *, conversations: int, rate: float = 100.0, seed: int = 1) -> None:
        self.accepted: dict[int, str] = {}
        self.refused: list[DatabaseUnavailable] = []
        self._outbox = open_outbox(database)
        self._conversations = conversations
        self._rate = rate
        self._random = random.Random(seed)
        self._number = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._produce, name="producer", daemon=True)
        self._failed: BaseException | None = None

    def once_each(self) -> None:
        """Enqueue one message for each conversation."""
        self._accept([request(c, self._next()) for c in range(self._conversations)])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._outbox.close()

    def stop(self) -> None:
        """End with the batch at hand; raise what ended it before, if something did."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)
        if self._failed is not None:
            raise self._failed

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _produce(self) -> None:
        try:
            while not self._over.is_set():
                count = self._random.randint(1, max(1, round(self._rate / 20)))
                many = [request(self._random.randrange(self._conversations), self._next()) for _ in range(count)]
                self._accept(many)
                self._over.wait(count / self._rate)
        except BaseException as error:
            self._failed = error

    def _accept(self, many: Sequence[Request]) -> None:
        while True:
            try:
                ids = self._outbox.enqueue_many(many)
            except DatabaseUnavailable as error:
                self.refused.append(error)
                time.sleep(0.05)
                continue
            self.accepted |= {id: str(r.parameters["message"]) for id, r in zip(ids, many, strict=True)}
            return


@dataclass(frozen=True)
class Audit:
    """What became of what was accepted.

    Attributes:
        lost: Accepted, never arrived, and neither uncertain nor failed: nobody would ever learn of it.
        twice: Arrivals beyond the first of each message.
        out_of_order: Messages that arrived after a later one of their conversation.
        uncertain_late: Those of them that are left to a person, and so hold up none.
        uncertain_arrived, uncertain_absent: Left to a person, by whether they had arrived.
        statuses: Those accepted, by status.
    """

    accepted: int
    arrived: int
    lost: int
    twice: int
    out_of_order: int
    uncertain_late: int
    uncertain_arrived: int
    uncertain_absent: int
    statuses: Mapping[str, int]

    def flawless(self) -> bool:
        """True when each accepted message arrived once, in order, and is known to have."""
        clean = not (self.lost or self.twice or self.out_of_order)
        return clean and self.accepted == self.arrived == self.statuses.get("sent", 0)


def audit(outbox: Outbox, accepted: Mapping[int, str], received: Iterable[Mapping[str, Any]]) -> Audit:
    """Count; `received` are the simulated API's records, flat or as SandboxServer keeps them."""
    sends = [r.get("params", r) for r in received if r["method"] == "sendmessage"]  # the rest reads back
    texts = [str(r["message"]) for r in sends]
    arrivals = Counter(texts)
    status = {item.id: item.status for item in outbox.items(limit=10_000_000) if item.id in accepted}
    absent = {id: status.get(id) for id, text in accepted.items() if text not in arrivals}
    uncertain = [id for id, s in status.items() if s == "uncertain"]
    late, latest = set[str](), dict[str, int]()
    for text in dict.fromkeys(texts):
        destination, number = text.split("/")
        if int(number) < latest.get(destination, 0):
            late.add(text)
        latest[destination] = max(int(number), latest.get(destination, 0))
    return Audit(
        accepted=len(accepted),
        arrived=len(arrivals),
        lost=sum(s not in ("uncertain", "failed") for s in absent.values()),
        twice=sum(n - 1 for n in arrivals.values()),
        out_of_order=len(late),
        uncertain_late=sum(accepted[id] in late for id in uncertain),
        uncertain_arrived=sum(id not in absent for id in uncertain),
        uncertain_absent=sum(id in absent for id in uncertain),
        statuses=Counter(status.values()),
    )


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE, every: float = 0.02) -> None:
    """Wait for a condition; fail by saying what did not happen."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"after {seconds:g} s: {what}"
        time.sleep(every)


def drained(outbox: Outbox) -> bool:
    """True when nothing waits, nothing is being sent, and nothing is to be read back."""
    try:
        counts = outbox.status().counts
        if counts["queued"] or counts["scheduled"] or counts["sending"]:
            return False
        return all(item.completed_at for item in outbox.items(status="uncertain", limit=1_000_000))
    except DatabaseUnavailable:
        return False


def emptied(database: str) -> None:
    """Empty a T-SQL database's outbox: numbers start again, and with them the keys."""
    engine = create_engine(database, autocommit=True)
    with driver_cursor(engine) as cursor:
        empty(cursor)
    engine.dispose()
