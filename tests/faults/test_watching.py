"""A real worker process, scraped over HTTP before, during and after traffic, in good times and bad."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from tests.faults.processes import WORKER, ended, workers
from tests.faults.proxy import Plan, Proxy
from tests.faults.test_connection_cut import port_of, through
from tests.faults.watching import Watched, wait_for
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")

PORT = {"AFILSQL_METRICS_PORT": "0"}
CANARY = "a text no metric may tell"
NUMBER = "34699123456"
SENT = 'afilsql_requests_total{account="default",code="",kind="send",outcome="sent"}'


def send(number: int, account: str = "default", *, text: str = CANARY, channel: str = "100") -> Request:
    chat = {"platform": "whatsapp", "platformid": channel, "destination": f"{NUMBER}{number}", "message": text}
    return Request("sendmessage", chat, account)


def test_metrics_follow_the_traffic_and_tell_no_text_number_or_password(empty_outbox: str) -> None:
    with (
        SandboxServer(latency=0.2) as api,
        open_outbox(empty_outbox) as outbox,
        workers(1, empty_outbox, api.url, command=WORKER, AFILSQL_CONCURRENCY="4", **PORT) as (process,),
    ):
        watched = Watched(process)
        watched.get_ready()
        before = watched.values()
        outbox.enqueue_many([send(n) for n in range(40)])
        wait_for(lambda: watched.value("afilsql_calls_in_flight") == 4, "no four calls were in flight")
        watched.wait(SENT, 40)
        after, text = watched.values(), watched.text()
        assert watched.get("/healthz") == (200, "ok\n")
        process.send_signal(signal.SIGTERM)
        ended(process)
    assert SENT not in before
    assert (before["afilsql_database_up"], before["afilsql_senders"]) == (1, 4)
    assert next(name for name in after if name.startswith('afilsql_build_info{python="3.'))
    assert after["afilsql_calls_in_flight"] == 0
    assert after['afilsql_call_seconds_count{kind="send"}'] == 40
    assert after['afilsql_call_seconds_sum{kind="send"}'] >= 40 * 0.2
    assert after['afilsql_enqueue_to_sent_seconds_count{account="default"}'] == 40
    assert 0 < after['afilsql_enqueue_to_sent_seconds_sum{account="default"}'] < 40 * 60
    exchanges = {w: after.get(f'afilsql_database_call_seconds_count{{operation="{w}"}}', 0) for w in ("claim", "both")}
    assert all(exchanges.values()), exchanges
    assert after["afilsql_loop_age_seconds"] < 60
    for secret in (CANARY, NUMBER, "demo"):
        assert secret not in text


def test_the_queue_by_account_is_told_and_accounts_of_no_setting_are_one(empty_outbox: str) -> None:
    held = 'afilsql_account_state{account="shop",state="held"}'
    accounts = {"AFILSQL_ACCOUNTS": json.dumps({"shop": {"user": "demo", "password": "demo"}})}
    with open_outbox(empty_outbox) as outbox:
        outbox.enqueue_many([send(n, account) for n in range(3) for account in ("shop", "a", "b")])
        outbox.hold_account("shop", "by hand")
        with (
            SandboxServer(latency=30) as api,
            workers(1, empty_outbox, api.url, command=(*WORKER, "--concurrency", "1"), **accounts, **PORT) as (p,),
        ):
            watched = Watched(p)
            watched.get_ready()
            wait_for(lambda: watched.value(held) == 1, "the queue was not looked at")
            values = watched.values()
    assert values['afilsql_queue_rows{account="shop",state="queued"}'] == 3
    assert values['afilsql_account_state{account="shop",state="open"}'] == 0
    others = sum(v for k, v in values.items() if k.startswith('afilsql_queue_rows{account="other"'))
    assert others <= 6
    assert not [name for name in values if '"a"' in name or '"b"' in name]


def test_a_refused_password_an_unknown_channel_and_a_lost_answer_are_counted(empty_sqlite: str) -> None:
    settings = PORT | {
        "AFILSQL_ACCOUNTS": json.dumps({"bad": {"user": "demo", "password": "wrong-one"}}),
        "AFILSQL_ON_UNKNOWN": "reconcile",
        "AFILSQL_READ_BACK_AFTER": "0.2",
    }
    with (
        SandboxServer() as api,
        open_outbox(empty_sqlite) as outbox,
        workers(1, empty_sqlite, api.url, command=WORKER, **settings) as (process,),
    ):
        watched = Watched(process)
        outbox.enqueue_many([send(1, "bad"), send(2, channel="no-such"), send(3, text="see [sandbox:lost]")])
        prefix = 'afilsql_requests_total{account="'
        watched.wait(f'{prefix}bad",code="INCORRECT_USER_PASSWORD",kind="send",outcome="hold"}}', 1)
        watched.wait(f'{prefix}default",code="CHANNEL_NOT_FOUND",kind="send",outcome="failed"}}', 1)
        watched.wait(f'{prefix}default",code="CONNECTION_BROKEN",kind="send",outcome="uncertain"}}', 1)
        watched.wait('afilsql_account_held_total{account="bad"}', 1)
        watched.wait('afilsql_read_backs_total{account="default",verdict="arrived"}', 1)
        assert "wrong-one" not in watched.text()


@pytest.mark.tsql
def test_a_database_that_goes_and_comes_back_is_told_by_readyz_and_counted(empty_tsql: str) -> None:
    with (
        SandboxServer() as api,
        Proxy(port_of(empty_tsql)) as proxy,
        workers(1, through(empty_tsql, proxy), api.url, command=WORKER, **PORT) as (process,),
    ):
        watched = Watched(process)
        watched.get_ready()
        proxy.plan = lambda _number: Plan("request", 0, "cut")
        proxy.cut_all()
        wait_for(lambda: watched.get("/readyz")[0] == 503, "readyz did not see the outage")
        status, why = watched.get("/readyz")
        assert why.startswith("the database has been away for ")
        assert watched.get("/healthz") == (200, "ok\n")
        away = watched.values()
        proxy.plan = lambda _number: Plan()
        wait_for(lambda: watched.get("/readyz")[0] == 200, "readyz did not see the end of the outage")
        back = watched.values()
    assert status == 503
    assert (away["afilsql_database_up"], back["afilsql_database_up"]) == (0, 1)
    assert away["afilsql_database_outages_total"] == 1
    assert sum(v for k, v in away.items() if k.startswith("afilsql_database_errors_total")) >= 1


def test_a_lease_that_passed_to_another_is_counted(empty_sqlite: str) -> None:
    with (
        SandboxServer(latency=1.0) as api,
        open_outbox(empty_sqlite) as outbox,
        workers(1, empty_sqlite, api.url, command=WORKER, **PORT) as (process,),
    ):
        watched = Watched(process)
        id = outbox.enqueue(send(1))
        watched.wait("afilsql_calls_in_flight", 1)
        with closing(sqlite3.connect(empty_sqlite.removeprefix("sqlite:///"))) as database, database:
            database.execute("UPDATE outbox SET lease_id = '00000000000000000000000000000001' WHERE id = ?", (id,))
        watched.wait("afilsql_leases_lost_total", 1)


def test_a_worker_that_was_told_to_stop_is_not_ready_but_lives_and_is_scraped_until_its_calls_end(
    empty_sqlite: str,
) -> None:
    with (
        SandboxServer(latency=1.5) as api,
        open_outbox(empty_sqlite) as outbox,
        workers(1, empty_sqlite, api.url, command=WORKER, **PORT) as (process,),
    ):
        watched = Watched(process)
        outbox.enqueue(send(1))
        watched.wait("afilsql_calls_in_flight", 1)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: watched.get("/readyz") == (503, "the worker is stopping\n"), "it did not say so")
        assert watched.get("/healthz")[0] == 200
        assert watched.value("afilsql_calls_in_flight") == 1
        ended(process)


def test_other_paths_and_methods_are_refused(empty_sqlite: str) -> None:
    with workers(1, empty_sqlite, "http://127.0.0.1:9/", command=WORKER, **PORT) as (process,):
        watched = Watched(process)
        assert watched.get("/")[0] == 404
        host, port = watched.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
            client.sendall(b"POST /healthz HTTP/1.0\r\n\r\n")
            assert b" 405 " in client.makefile("rb").readline()


def test_an_account_of_new_settings_is_counted_by_its_name_and_one_that_is_gone_no_more(
    empty_sqlite: str, tmp_path: Path
) -> None:
    file = tmp_path / "afilsql.toml"

    def write(account: str) -> None:
        fresh = tmp_path / "fresh"
        fresh.write_text(f'[accounts.{account}]\nuser = "demo"\npassword = "demo"\n', encoding="utf-8")
        fresh.chmod(0o600)
        fresh.replace(file)

    def sent(account: str) -> str:
        return SENT.replace("default", account)

    write("shop")
    with SandboxServer() as api, open_outbox(empty_sqlite) as outbox:
        settings = {"AFILSQL_CONFIG": str(file), "AFILSQL_USER": "", "AFILSQL_PASSWORD": "", **PORT}
        with workers(1, empty_sqlite, api.url, command=WORKER, **settings) as (process,):
            watched = Watched(process)
            outbox.enqueue(send(1, "shop"))
            watched.wait(sent("shop"), 1)
            write("support")
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: process.events("settings_reloaded"), "the settings were not read")
            outbox.enqueue(send(2, "support"))
            watched.wait(sent("support"), 1)
            assert not [name for name in watched.values() if "requests" in name and '"shop"' in name]
            process.terminate()
            ended(process)


def test_a_port_that_is_taken_ends_the_worker_with_a_word_on_what_to_do(empty_sqlite: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = {"AFILSQL_METRICS_PORT": str(taken.getsockname()[1])}
        with workers(1, empty_sqlite, "http://127.0.0.1:9/", command=WORKER, **port) as (process,):
            assert process.wait(PATIENCE) == 3
            assert "choose another AFILSQL_METRICS_PORT" in process.events("worker_failed")[0]["detail"]


def test_without_the_setting_nothing_listens(empty_sqlite: str) -> None:
    with workers(1, empty_sqlite, "http://127.0.0.1:9/") as (process,):
        ended(process)
        assert process.events("watching") == []
