"""One worker process that serves several databases of a server."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from afilsql import deploy
from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from tests import engines
from tests.faults.processes import WORKER, sandbox, workers
from tests.faults.traffic import wait_until
from tests.patience import PATIENCE

pytestmark = pytest.mark.tsql

CHAT = {"platform": "whatsapp", "platformid": "100"}


def test_one_worker_serves_several_databases_and_one_that_is_not_installed_harms_none(
    empty_tsql: str, tsql_server: str
) -> None:
    with engines.database(tsql_server) as second, engines.database(tsql_server) as bare, sandbox() as api:
        deploy.migrate(second)
        names = ",".join(str(sa.make_url(url).database) for url in (second, bare))
        with (
            open_outbox(empty_tsql) as one,
            open_outbox(second) as other,
            workers(1, empty_tsql, api.url, command=WORKER, AFILSQL_DATABASES=names) as (process,),
        ):
            wait_until(lambda: process.events("database_given_up"), "the bare one was not given up", every=0.2)
            assert process.events("database_given_up")[0]["database"] == sa.make_url(bare).database
            ids = [
                outbox.enqueue(Request("sendmessage", {**CHAT, "destination": str(n), "message": f"to {n}"}))
                for n, outbox in enumerate((one, other))
            ]
            for outbox, id in zip((one, other), ids, strict=True):
                wait_until(
                    lambda outbox=outbox, id=id: outbox.get(id).item.status == "sent",  # type: ignore[misc]
                    "it was not sent",
                    every=0.2,
                )
            delivered = {event["database"] for event in process.events("delivered")}
            assert delivered == {sa.make_url(url).database for url in (empty_tsql, second)}
            process.terminate()
            process.wait(PATIENCE)
            assert process.returncode == 4, "the database that could not be served is what it ends with"
        assert sorted(call["message"] for call in api.received()) == ["to 0", "to 1"]
