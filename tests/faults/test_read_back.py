"""Unknown sends settled by reading the conversation back: real workers, real sockets, counted at the API."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from afilsql.deploy import migrate
from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from tests.faults.processes import ended, workers

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")

CHATS = 8
SETTLE = 1.5
SETTINGS = {
    "AFILSQL_BREAKER_CALLS": "0",
    "AFILSQL_READ_BACK_AFTER": "0.3",
    "AFILSQL_READ_BACK_SETTLE": str(SETTLE),
}


def to_each(*texts: str) -> list[Request]:
    """Each text to each chat, in order."""
    channel = {"platform": "whatsapp", "platformid": "100"}
    return [
        Request("sendmessage", {**channel, "destination": f"346{n}", "message": text})
        for n in range(CHATS)
        for text in texts
    ]


def deliver(folder: Path, on_unknown: str, texts: Sequence[str], **api: object) -> tuple[Counter[str], Counter[str]]:
    """Send a greeting to each chat, then the texts; return (arrivals by text, rows of the texts by status)."""
    database = f"sqlite:///{folder / 'outbox.db'}"
    migrate(database)
    with SandboxServer(**api) as server, open_outbox(database) as outbox:
        outbox.enqueue_many(to_each("Good morning."))
        with workers(1, database, server.url, **SETTINGS) as (first,):
            ended(first)
        ids = outbox.enqueue_many(to_each(*texts))
        with workers(2, database, server.url, AFILSQL_ON_UNKNOWN=on_unknown, **SETTINGS) as processes:
            for process in processes:
                ended(process)
        arrived = [c["params"] for c in server.received if c["method"] == "sendmessage"]
        for n in range(CHATS):
            order = list(dict.fromkeys(c["message"] for c in arrived if c["destination"] == f"346{n}"))
            assert order == [t for t in dict.fromkeys(("Good morning.", *texts)) if t in order], "in order"
        return Counter(c["message"] for c in arrived), Counter(outbox.get(id).item.status for id in ids)


LOST, CLOSED, AFTER = "[sandbox:lost] one", "[sandbox:close] two", "three"


def test_reconcile_sends_each_once_and_leaves_none_to_a_person(tmp_path: Path) -> None:
    arrived, statuses = deliver(tmp_path, "reconcile", [LOST, CLOSED, AFTER])
    assert {text: arrived[text] for text in (LOST, CLOSED, AFTER)} == dict.fromkeys((LOST, CLOSED, AFTER), CHATS)
    assert statuses == {"sent": 3 * CHATS}


def test_hold_never_sends_twice_and_leaves_them_to_a_person(tmp_path: Path) -> None:
    arrived, statuses = deliver(tmp_path, "hold", [LOST, CLOSED, AFTER])
    assert (arrived[LOST], arrived[CLOSED], arrived[AFTER]) == (CHATS, 0, CHATS)
    assert statuses == {"sent": CHATS, "uncertain": 2 * CHATS}


def test_retry_loses_none_and_sends_some_twice(tmp_path: Path) -> None:
    arrived, statuses = deliver(tmp_path, "retry", [LOST, CLOSED, AFTER])
    assert (arrived[LOST], arrived[CLOSED], arrived[AFTER]) == (2 * CHATS, CHATS, CHATS)
    assert statuses == {"sent": 3 * CHATS}


def test_an_api_that_lists_late_gets_its_time(tmp_path: Path) -> None:
    arrived, statuses = deliver(tmp_path, "reconcile", [LOST, AFTER], list_delay=SETTLE - 0.7)
    assert (arrived[LOST], arrived[AFTER]) == (CHATS, CHATS)
    assert statuses == {"sent": 2 * CHATS}


def test_an_api_that_lists_the_latest_message_only_leaves_the_absent_to_a_person(tmp_path: Path) -> None:
    """The list does not reach back, so nothing that is not in it can be called absent; what is in it has arrived."""
    repeated = ["Again.", LOST, "Again.", "[sandbox:close] Again."]
    arrived, statuses = deliver(tmp_path, "reconcile", repeated, list_latest=1)
    assert arrived[LOST] == CHATS
    assert arrived["[sandbox:close] Again."] <= CHATS
    assert statuses["uncertain"] == CHATS - arrived["[sandbox:close] Again."]


def test_identical_texts_are_each_sent_once_or_left_to_a_person(tmp_path: Path) -> None:
    arrived, statuses = deliver(tmp_path, "reconcile", [LOST, LOST, LOST])
    assert statuses["sent"] + statuses["uncertain"] == 3 * CHATS
    assert statuses["sent"] <= arrived[LOST] <= 3 * CHATS
