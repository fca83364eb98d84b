"""The operators' page beside a worker: signed in to over a real socket, and no trouble to delivery or to the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from afilsql.outbox import open_outbox
from afilsql.outbox.browse import open_browser
from tests.faults.processes import WORKER, WorkerProcess, ended, launch, sandbox, workers
from tests.faults.traffic import request, wait_until
from tests.web.site import USERS, Client, text_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")

NOWHERE = "http://127.0.0.1:9/"
PAGE = {"AFILSQL_WEB_PORT": "0", "AFILSQL_WEB": json.dumps({"users": dict(USERS)})}


def client_of(process: WorkerProcess) -> Client:
    """Somebody who looks at the page of a worker."""
    wait_until(lambda: process.events("web_started"), "the worker serves no page")
    url: str = process.events("web_started")[0]["url"]
    assert url.startswith("http://127.0.0.1:"), "without another setting only this machine reaches it"
    page: Any = SimpleNamespace(url=url.rstrip("/"))
    return Client(page)


def test_an_operator_signs_in_to_the_page_of_a_worker_sees_what_it_sent_and_acts(empty_outbox: str) -> None:
    with (
        sandbox() as api,
        open_outbox(empty_outbox) as outbox,
        workers(1, empty_outbox, api.url, command=WORKER, **PAGE) as (process,),
    ):
        ann = client_of(process)
        (id,) = outbox.enqueue_many([request(7, 1)])
        wait_until(lambda: outbox.get(id).item.status == "sent", "it was not sent", every=0.1)
        assert ann.get(f"/items/{id}").status_code == 303, "nobody is signed in"
        assert ann.sign_in("ann", "another password").status_code == 403
        assert ann.sign_in("ann").status_code == 303
        shown = text_of(ann.get(f"/items/{id}"))
        assert "sent" in shown
        assert outbox.get(id).item.parameters["message"] in shown
        assert ann.act("pause", reason="a look").status_code == 303
        with open_browser(empty_outbox) as browser:
            assert browser.overview().paused
        process.terminate()
        ended(process)
        assert [(e["action"], e["user"]) for e in process.events("web_action")] == [("pause", "ann")]
        assert "$argon2id" not in process.said()


def test_connections_that_flood_the_page_or_break_off_cost_no_delivery_and_no_end(empty_sqlite: str) -> None:
    with (
        sandbox() as api,
        open_outbox(empty_sqlite) as outbox,
        workers(1, empty_sqlite, api.url, command=WORKER, **PAGE) as (process,),
        ExitStack() as stack,
    ):
        client = client_of(process)
        host, port = client.page.url.removeprefix("http://").split(":")
        for n in range(300):
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            with suppress(OSError):  # it may have been cut already
                one.sendall((b"GET / HTTP/1.1\r\nHost: ", b"\x16\x03\x01 no http at all\r\n\r\n", b"POST / ")[n % 3])
        outbox.enqueue_many([request(c, 1) for c in range(20)])
        wait_until(lambda: outbox.status().counts["sent"] == 20, "delivery did not go on")
        process.send_signal(signal.SIGTERM)
        ended(process)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"AFILSQL_WEB": '{"mask_messages": true}'}, "nobody could sign in"),
        ({"AFILSQL_WEB": json.dumps({"users": dict(USERS), "secret_file": "/nonexistent"})}, "/nonexistent"),
    ],
)
def test_a_page_that_cannot_be_served_is_refused_at_the_start_with_what_to_do(
    empty_sqlite: str, change: dict[str, str], why: str
) -> None:
    with workers(1, empty_sqlite, NOWHERE, command=WORKER, **PAGE | change) as (process,):
        assert process.wait(40) == 3
        (failed,) = process.events("worker_failed")
        assert why in failed["detail"]
        assert failed["detail"].endswith("or take AFILSQL_WEB_PORT away, and the worker serves no page")


def test_a_port_that_is_taken_is_refused_at_the_start(empty_sqlite: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with workers(1, empty_sqlite, NOWHERE, command=WORKER, **PAGE | {"AFILSQL_WEB_PORT": port}) as (process,):
            assert process.wait(40) == 3
            assert f"cannot listen on 127.0.0.1:{port}" in process.events("worker_failed")[0]["detail"]


def test_without_the_extra_the_refusal_names_it(empty_sqlite: str) -> None:
    bare = "import sys; sys.modules['argon2'] = None; from afilsql.cli import main; sys.argv[1:] = ['worker']; main()"
    process = launch((sys.executable, "-c", bare), empty_sqlite, NOWHERE, **PAGE)
    try:
        assert process.wait(40) == 3
        assert "pip install 'afilsql[web]'" in process.events("worker_failed")[0]["detail"]
    finally:
        process.end()


@pytest.mark.parametrize("wanted", [False, True])
def test_a_worker_without_the_page_loads_nothing_of_it(empty_sqlite: str, wanted: bool) -> None:
    command = (sys.executable, "-X", "importtime", *WORKER[1:], "--drain")
    with workers(1, empty_sqlite, NOWHERE, command=command, **(PAGE if wanted else {})) as (process,):
        ended(process)
        loaded = {line.rpartition("|")[2].strip() for line in process.said().splitlines() if "import time:" in line}
        for name in ("starlette.applications", "uvicorn", "jinja2", "afilsql.web.server"):
            assert (name in loaded) is wanted, name
