"""The main job at size: 10,000 mixed requests, two worker processes, one T-SQL engine."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pytest

from afilsql import deploy
from afilsql.outbox import open_outbox
from afilsql.outbox.engine import create_engine
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from tests.faults.processes import ended, workers

pytestmark = pytest.mark.tsql

COUNT, CONVERSATIONS = 10_000, 400
FILE = "https://www.example.com/{n}.jpg"


def mixed(n: int) -> Request:
    """The n-th request: mostly messages; every method, and requests that the API refuses, among them."""
    chat = {"platform": "whatsapp", "platformid": "100", "destination": f"3460000{n % CONVERSATIONS:04}"}
    match n // CONVERSATIONS % 25:
        case 20:
            return Request("sendfile", {**chat, "type": "image", "fileurl": FILE.format(n=n)})
        case 21:
            return Request("getmessages", chat)
        case 22:
            return Request("getunreadmessages", chat)
        case 23 if n % 20 == 0:  # each brings every chat of the channel: a few are enough
            return Request("getchats", {k: chat[k] for k in ("platform", "platformid")})
        case 24:
            return Request("sendmessage", {**chat, "platformid": "999", "message": f"{n}"})
        case _:
            return Request("sendmessage", {**chat, "message": f"{n} ñ 😀 \"quoted\" \\ 'x'"})


def test_ten_thousand_requests_arrive_once_each_in_order_with_every_outcome_in_the_tables(new_tsql_url: str) -> None:
    deploy.migrate(new_tsql_url)
    requests = [mixed(n) for n in range(COUNT)]
    with SandboxServer() as api, open_outbox(new_tsql_url) as outbox:
        ids = [i for start in range(0, COUNT, 1000) for i in outbox.enqueue_many(requests[start : start + 1000])]
        with workers(2, new_tsql_url, api.url, AFILSQL_CONCURRENCY="32") as processes:
            for process in processes:
                ended(process, seconds=1800)
        received = list(api.received)
        counts = outbox.status().counts

    refused = sum(r.parameters.get("platformid") == "999" for r in requests)
    assert counts == dict.fromkeys(counts, 0) | {"sent": COUNT - refused, "failed": refused}

    def key(method: str, parameters: dict[str, str]) -> str:
        return json.dumps([method, sorted(parameters.items())], ensure_ascii=False)

    accepted = [r for r in requests if r.parameters.get("platformid") != "999"]
    assert Counter(key(c["method"], c["params"]) for c in received) == Counter(
        key(r.method, dict(r.parameters)) for r in accepted
    )
    asked, came = defaultdict(list), defaultdict(list)
    for r in accepted:
        asked[r.parameters.get("destination")].append(r.method + r.parameters.get("message", ""))
    for c in received:
        came[c["params"].get("destination")].append(c["method"] + c["params"].get("message", ""))
    assert came == asked

    engine = create_engine(new_tsql_url, autocommit=True)
    with engine.connect() as connection:
        tries = connection.exec_driver_sql("SELECT COUNT(*), MIN(duration_ms) FROM afil.attempts").one()
        answers = connection.exec_driver_sql("SELECT COUNT(*) FROM afil.responses").scalar_one()
        by_worker = connection.exec_driver_sql("SELECT worker, COUNT(*) FROM afil.attempts GROUP BY worker").fetchall()
        codes = connection.exec_driver_sql(
            "SELECT error_code, COUNT(*) FROM afil.failed_items GROUP BY error_code"
        ).all()
        messages = connection.exec_driver_sql("SELECT COUNT(*) FROM afil.chat_messages").scalar_one()
    engine.dispose()
    assert len(ids) == len(set(ids)) == COUNT == tries[0]
    assert answers == COUNT
    assert len(by_worker) == 2
    assert min(n for _, n in by_worker) > 0
    assert [tuple(c) for c in codes] == [("CHANNEL_NOT_FOUND", refused)]
    assert messages > 0
