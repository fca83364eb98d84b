"""One worker process that serves several databases of a server."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from afilsql import deploy
from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from tests import engines
from tests.faults.processes import WORKER, sandbox, workers
from tests.faults.test_worker_page import PAGE, client_of
from tests.faults.traffic import wait_until
from tests.faults.watching import Watched
from tests.patience import PATIENCE
from tests.web.site import text_of

pytestmark = pytest.mark.tsql

WATCHED = {"AFILSQL_METRICS_PORT": "0"}
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
            workers(1, empty_tsql, api.url, command=WORKER, AFILSQL_DATABASES=names, **WATCHED, **PAGE) as (process,),
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
            first, added = (str(sa.make_url(url).database) for url in (empty_tsql, second))
            assert delivered == {first, added}
            watched = Watched(process)
            for name in (first, added):
                labels = f'account="default",code="",database="{name}",kind="send",outcome="sent"'
                assert watched.value(f"afilsql_requests_total{{{labels}}}") == 1
            bare_name = str(sa.make_url(bare).database)
            assert watched.get("/readyz") == (503, f"{bare_name}: there was no exchange with the database yet\n")
            ann = client_of(process)
            ann.sign_in("ann")
            shown = text_of(ann.get("/items"))
            assert "to 0" in shown
            assert "to 1" not in shown, "the page is the first database's"
            process.terminate()
            process.wait(PATIENCE)
            assert process.returncode == 4, "the database that could not be served is what it ends with"
        assert sorted(call["message"] for call in api.received()) == ["to 0", "to 1"]
