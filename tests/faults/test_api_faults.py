"""Every fault of an HTTP API, met by a real worker over real sockets: what each row ends as, and at what cost."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from afilsql.deploy import migrate
from afilsql.outbox import open_outbox
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import ItemDetail, Request
from tests.faults.api_campaign import run
from tests.faults.hostile import HostileServer
from tests.faults.hostile_faults import FAULTS, RACES
from tests.faults.processes import WorkerProcess, ended, workers
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")

READ, CONNECT = 0.5, 0.6
#: Seconds beyond the time-outs that a call may take on a busy machine.
SLACK = 0.8
#: What a worker may use at its peak, in MB.
MEMORY = 150
SETTINGS = {
    "AFILSQL_READ_TIMEOUT": str(READ),
    "AFILSQL_BREAKER_CALLS": "0",  # most calls fail here
    "AFILSQL_CONNECT_TIMEOUT": str(CONNECT),
    "AFILSQL_CONCURRENCY": "32",
    "AFILSQL_ON_UNKNOWN": "hold",
}
#: Faults that put the whole account on hold, or slow it down, are met by an account of their own.
HELD = {name for name, fault in FAULTS.items() if fault.outcome == "hold"}
OWN_ACCOUNT = HELD | {name for name in FAULTS if "429" in name}
#: Faults that touch other rows as well have a test of their own.
MET = tuple(name for name in FAULTS if name not in RACES)
PASSWORD = "s3cret-of-all"
ENDS = {"sent": "sent", "retry": "sent", "failed": "failed", "uncertain": "uncertain", "hold": "queued"}


def message(number: int, text: str, account: str = "default") -> Request:
    chat = {"platform": "whatsapp", "platformid": "100", "destination": f"3460000{number:04}"}
    return Request("sendmessage", {**chat, "message": text}, account=account)


def peak_megabytes(process: WorkerProcess) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def wait_for(condition: Callable[[], object], process: WorkerProcess, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.said()[-2000:]
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.05)


def stop(process: WorkerProcess) -> None:
    process.send_signal(signal.SIGTERM)
    ended(process)


@dataclass
class Aftermath:
    """What was left after one worker had met every fault once, with a plain message behind each.

    Attributes:
        rows: The request that met the fault, by the fault's name.
        behind: The plain one after it.
        carried: How often each text was carried out.
        injected: How often each fault was met.
        strays: What arrived where nothing should.
        peak: Of the worker's memory, in MB.
        left: All the worker wrote: its log, and the database's file.
    """

    rows: dict[str, ItemDetail]
    behind: dict[str, ItemDetail]
    carried: Counter[str]
    injected: Counter[str]
    strays: list[bytes]
    peak: float
    left: bytes


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    migrate(url)
    return url


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    file = tmp_path_factory.mktemp("faults") / "outbox.db"
    url = f"sqlite:///{file}"
    migrate(url)
    accounts = json.dumps({name: {"user": "u", "password": PASSWORD} for name in ("default", *OWN_ACCOUNT)})
    ids = {}
    with HostileServer(FAULTS) as api, open_outbox(url) as outbox:
        for number, name in enumerate(MET):
            account = name if name in OWN_ACCOUNT else "default"
            padding = "€" * 1_000_000 if name == "never-read" else ""  # more than any buffer on the way holds
            first = message(number, f"[{name}~1~{number}] order{padding}", account)
            ids[name] = outbox.enqueue_many([first, message(number, f"behind {name}", account)])
        with workers(1, url, api.url, AFILSQL_ACCOUNTS=accounts, **SETTINGS) as (process,):
            wait_for(lambda: settled(outbox), process)
            peak = peak_megabytes(process)
            stop(process)
            log = process.said().encode()
        return Aftermath(
            rows={name: outbox.get(first) for name, (first, _) in ids.items()},
            behind={name: outbox.get(second) for name, (_, second) in ids.items()},
            carried=Counter(api.carried),
            injected=api.injected,
            strays=api.strays,
            peak=peak,
            left=log + b"".join(path.read_bytes() for path in file.parent.iterdir()),
        )


def settled(outbox: Outbox) -> bool:
    """True when nothing but long waits, what waits behind them, and held accounts is left."""
    put_off = sum(FAULTS[name].wait > 0 for name in MET)
    counts = outbox.status().counts
    queued = 2 * len(HELD) + put_off
    return (counts["queued"], counts["scheduled"], counts["sending"]) == (queued, put_off, 0)


@pytest.mark.parametrize("name", MET)
def test_each_fault_leaves_its_row_as_the_rules_say(aftermath: Aftermath, name: str) -> None:
    fault, row = FAULTS[name], aftermath.rows[name]
    assert aftermath.injected[name] == 1
    if fault.outcome == "hold":
        assert (row.item.status, row.item.attempts, row.item.error_code) == ("queued", 0, fault.code)
        return
    first = row.history[0]
    assert first.error_code in (fault.code.split() if fault.code else [None]), first.detail
    assert row.item.status == ("scheduled" if fault.wait else ENDS[fault.outcome])
    if fault.wait:
        put_off = row.item.due_at - first.started_at
        assert timedelta(seconds=fault.wait) <= put_off < timedelta(seconds=fault.wait + 60)


def test_what_was_carried_out_is_never_sent_again_and_what_is_called_sent_was_carried_out(aftermath: Aftermath) -> None:
    for name, row in (aftermath.rows | {f"behind {n}": r for n, r in aftermath.behind.items()}).items():
        times = aftermath.carried[row.item.parameters["message"]]
        assert times <= 1, name
        assert times == 1 or row.item.status != "sent", name
        assert row.item.status != "failed" or times == 0, name


def test_a_fault_keeps_no_other_row_from_being_sent(aftermath: Aftermath) -> None:
    expected = {n: "queued" if FAULTS[n].wait or n in HELD else "sent" for n in MET}
    assert {name: row.item.status for name, row in aftermath.behind.items()} == expected


def test_no_call_takes_longer_than_its_time_outs(aftermath: Aftermath) -> None:
    tries = [(t.duration_ms / 1000, name) for name, row in aftermath.rows.items() for t in row.history]
    # A request that nobody reads has the time to connect once more, for sending.
    assert max(tries) < (CONNECT + READ + SLACK, "")
    assert len(tries) >= len(MET) - len(HELD)


def test_a_redirect_takes_the_password_nowhere_and_it_is_written_nowhere(aftermath: Aftermath) -> None:
    assert aftermath.strays == []
    assert PASSWORD.encode() not in aftermath.left
    assert b"REDIRECTED" in aftermath.left


def test_every_fault_at_once_costs_a_worker_little_memory(aftermath: Aftermath) -> None:
    assert 10 < aftermath.peak < MEMORY


@pytest.mark.parametrize("method", ["sendmessage", "getmessages"])
def test_answers_without_end_on_every_sender_cost_a_worker_little_memory(database: str, method: str) -> None:
    endless = [n for n in FAULTS if n.startswith(("big-", "gzip-bomb", "deflate-bomb", "endless-")) or "-bomb" in n]
    names = (endless * 64)[:64]
    with HostileServer(FAULTS) as api, open_outbox(database) as outbox:
        for number, name in enumerate(names):
            marker = f"[{name}~9~{number}]"
            request = message(number, marker)
            if method == "getmessages":
                chat = {"platform": "whatsapp", "platformid": "100", "destination": marker}
                request = Request(method, chat)
            outbox.enqueue(replace(request, max_attempts=1))
        with workers(1, database, api.url, **SETTINGS | {"AFILSQL_READ_TIMEOUT": "2"}) as (process,):
            peak = 0.0
            while process.poll() is None:
                with suppress(StopIteration):  # a process that has ended has no memory
                    peak = peak_megabytes(process)
                time.sleep(0.01)
            ended(process)
        codes = Counter(item.error_code for item in outbox.items(limit=64))
    assert set(codes) == {"ANSWER_TOO_LARGE", "CONNECTION_BROKEN", "REDIRECTED"}
    assert codes["ANSWER_TOO_LARGE"] >= 16
    assert api.injected.total() == 64
    assert 10 < peak < MEMORY


def test_a_worker_serves_other_conversations_while_most_senders_hang(database: str) -> None:
    with HostileServer(FAULTS) as api, open_outbox(database) as outbox:
        for number in range(30):
            outbox.enqueue(message(number, f"[hang~1~{number}]"))
        outbox.enqueue_many([message(100 + number % 20, f"plain {number}") for number in range(200)])
        with workers(1, database, api.url, **SETTINGS | {"AFILSQL_READ_TIMEOUT": "2.5"}) as (process,):
            wait_for(lambda: len(api.carried) == 200, process)
            assert outbox.status().counts["sending"] >= 30, "the others still hang"
            ended(process)
        assert outbox.status().counts["uncertain"] == 30


def test_a_closed_port_is_tried_again_and_nothing_is_lost(database: str) -> None:
    with HostileServer(FAULTS) as api, open_outbox(database) as outbox:
        ids = outbox.enqueue_many([message(number, f"plain {number}") for number in range(40)])
        with workers(1, database, api.url, **SETTINGS) as (process,):
            with api.closed():
                wait_for(lambda: outbox.status().counts["scheduled"] > 0, process)
            ended(process)
        assert outbox.status().counts["sent"] == 40
        assert set(Counter(api.carried).values()) == {1}
        tried = [try_.error_code for id in ids for try_ in outbox.get(id).history]
        assert set(tried) == {None, "CONNECT"}


@pytest.mark.parametrize("name", RACES)
def test_a_connection_spoilt_after_the_answer_may_leave_doubt_but_no_wrong_answer(database: str, name: str) -> None:
    with HostileServer(FAULTS) as api, open_outbox(database) as outbox:
        texts = [f"[{name}~1~{n}] order" if n % 2 else f"plain {n}" for n in range(120)]
        ids = outbox.enqueue_many([message(n % 12, text) for n, text in enumerate(texts)])
        with workers(1, database, api.url, **SETTINGS) as (process,):
            ended(process)
        statuses = {text: outbox.get(id).item.status for text, id in zip(texts, ids, strict=True)}
        assert set(statuses.values()) <= {"sent", "uncertain"}
        assert all(api.carried.count(text) == 1 for text, status in statuses.items() if status == "sent")
        assert max(Counter(api.carried).values()) == 1


@pytest.mark.parametrize(("on_unknown", "twice"), [("hold", False), ("retry", True)])
def test_a_campaign_of_random_faults_loses_nothing_and_keeps_the_order(
    tmp_path: Path, on_unknown: str, twice: bool
) -> None:
    total = run(150, seed=7, on_unknown=on_unknown, folder=tmp_path).total
    assert total.requests == 150
    assert total.sent + total.failed + total.uncertain == 150
    assert (total.lost, total.out_of_order) == (0, 0)
    assert (total.duplicated > 0) is twice, "retry sends again what arrived without a word; hold never does"
