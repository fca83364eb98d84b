"""The connection between a worker process and a T-SQL engine breaks, falls silent, or is slow."""

from __future__ import annotations

import math
import os
import time

import pytest
import sqlalchemy as sa

from afilsql.errors import ConfigError, DatabaseUnavailable
from afilsql.outbox import open_outbox
from afilsql.outbox.engine import create_engine
from tests.faults.connection_campaign import campaign, through
from tests.faults.processes import WORKER, ended, sandbox, workers
from tests.faults.proxy import Plan, Proxy
from tests.faults.traffic import audit, drained, request, wait_until
from tests.patience import PATIENCE

pytestmark = [
    pytest.mark.tsql,
    pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way"),
]


def port_of(url: str) -> int:
    return sa.make_url(url).port or 1433


def impatient(url: str, seconds: int) -> str:
    """The URL with so much patience for a statement; the driver gives up on silence after three times that."""
    return sa.make_url(url).update_query_dict({"timeout": str(seconds)}).render_as_string(hide_password=False)


def first_exchange_seconds(url: str) -> int:
    """How long a first exchange on a new connection takes here and now, rounded up."""
    began = time.monotonic()
    with open_outbox(url) as outbox:
        outbox.exchange("measure")
    return math.ceil(time.monotonic() - began)


def test_connections_cut_anywhere_lose_nothing_and_send_nothing_twice(empty_tsql: str) -> None:
    outcome = campaign(empty_tsql, step=900, seed=1)
    assert outcome.audit.flawless(), outcome.audit


def test_a_worker_whose_database_falls_silent_notices_and_goes_on_by_itself(empty_tsql: str) -> None:
    # Time for a first exchange, or none would succeed after the silence; no more than that, as it is waited for.
    seconds = max(5, 3 * first_exchange_seconds(empty_tsql))
    with (
        sandbox(0.02) as api,
        open_outbox(empty_tsql) as outbox,
        Proxy(port_of(empty_tsql)) as proxy,
        workers(1, impatient(through(empty_tsql, proxy), seconds), api.url, command=WORKER) as (process,),
    ):
        accepted = {outbox.enqueue(r): r.parameters["message"] for r in [request(0, 1)]}
        wait_until(lambda: api.count() == 1, "the worker did not start")
        proxy.swallow(True)
        many = [request(c, n) for n in (2, 3) for c in range(20)]
        accepted |= zip(outbox.enqueue_many(many), (r.parameters["message"] for r in many), strict=True)
        wait_until(lambda: process.events("database_lost"), "the silence went unnoticed", PATIENCE + 3 * seconds)
        time.sleep(0.5)
        assert api.count() == 1
        proxy.swallow(False)
        wait_until(lambda: drained(outbox), "the worker did not come back", every=0.1)
        process.terminate()
        ended(process)
        assert "cannot be used right now" in process.events("database_lost")[0]["detail"]
        assert audit(outbox, accepted, api.received()).flawless()


def test_a_worker_that_waits_for_a_silent_database_ends_when_it_is_told_to(empty_tsql: str) -> None:
    with (
        Proxy(port_of(empty_tsql), lambda _n: Plan("request", 0, "hole")) as proxy,
        workers(1, impatient(through(empty_tsql, proxy), 1), "http://127.0.0.1:9/", command=WORKER) as (process,),
    ):
        wait_until(lambda: proxy.connections, "the worker did not connect")
        process.terminate()
        ended(process)


def test_a_slow_connection_only_makes_it_slow(empty_tsql: str) -> None:
    with (
        sandbox() as api,
        open_outbox(empty_tsql) as outbox,
        Proxy(port_of(empty_tsql), lambda _n: Plan(delay=0.02)) as proxy,
        workers(1, through(empty_tsql, proxy), api.url) as (process,),
    ):
        many = [request(c, n) for n in range(2) for c in range(10)]
        accepted = dict(zip(outbox.enqueue_many(many), (r.parameters["message"] for r in many), strict=True))
        ended(process)
        assert process.events("database_lost") == []
        assert audit(outbox, accepted, api.received()).flawless()


def test_whoever_asks_over_a_silent_connection_is_told_in_time(empty_tsql: str) -> None:
    with Proxy(port_of(empty_tsql)) as proxy, open_outbox(impatient(through(empty_tsql, proxy), 4)) as outbox:
        assert outbox.items() == []
        proxy.swallow(True)
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="cannot be used right now: Query timeout expired"):
            outbox.items()
        with pytest.raises(DatabaseUnavailable, match="cannot be used right now: Login timeout expired"):
            outbox.items()
        assert time.monotonic() - began < 60, "without a limit in the URL it is 75 seconds"


def test_a_timeout_that_is_no_number_of_seconds_is_refused(tsql_server: str) -> None:
    for wrong in ("soon", "0", "-1", "2.5", "99999"):
        url = sa.make_url(tsql_server).update_query_dict({"timeout": wrong}).render_as_string(hide_password=False)
        with pytest.raises(ConfigError, match="timeout in AFILSQL_DATABASE_URL"):
            create_engine(url)
