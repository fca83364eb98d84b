"""Worker processes that would not ask for an hour: what they deliver meanwhile, something woke them for."""

from __future__ import annotations

import sys

from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from tests.faults.processes import sandbox, workers
from tests.faults.traffic import wait_until

RUNNER = (sys.executable, "-m", "tests.faults.runner", "--idle", "3600")


def request(number: int) -> Request:
    chat = {"platform": "whatsapp", "platformid": "100", "destination": f"3460000000{number}"}
    return Request("sendmessage", chat | {"message": str(number)})


def test_requests_that_come_one_by_one_wake_an_idle_worker_each_time(empty_sqlite: str) -> None:
    with (
        sandbox() as api,
        open_outbox(empty_sqlite) as outbox,
        workers(1, empty_sqlite, api.url, command=RUNNER) as (worker,),
    ):
        wait_until(lambda: bool(worker.events("ready")), "the worker did not get ready", 30)
        for number in range(1, 4):
            outbox.enqueue(request(number))
            wait_until(lambda n=number: api.count() == n, f"nothing woke the worker for request {number}", 30)
            wait_until(lambda n=number: outbox.get(n).item.status == "sent", "the result was not handed in", 30)
        assert worker.poll() is None


def test_of_several_idle_workers_one_delivers_a_request_that_wakes_them(empty_sqlite: str) -> None:
    with (
        sandbox() as api,
        open_outbox(empty_sqlite) as outbox,
        workers(3, empty_sqlite, api.url, command=RUNNER) as processes,
    ):
        for worker in processes:
            wait_until(lambda w=worker: bool(w.events("ready")), "a worker did not get ready", 30)
        ids = [outbox.enqueue(request(number)) for number in range(1, 6)]
        wait_until(lambda: all(outbox.get(id).item.status == "sent" for id in ids), "a request was left", 30)
        assert api.count() == len(ids)
