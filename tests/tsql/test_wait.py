"""Requests that wait for their answer: @wait_ms, afil.answer, and afil.wait_answer where the engine has WAITFOR.

Babelfish has none. There afil.wait_answer is tried with that one statement left out, so that it asks without pausing:
all of it but the pause is proven there, and all of it on SQL Server.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from afilsql.outbox import open_outbox
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import Claim, Result
from tests.tsql.conftest import DriverError, with_or_without_waitfor

pytestmark = pytest.mark.tsql

CHAT = "@platform = 'whatsapp', @platformid = '100', @destination = '34600000000'"
MESSAGE = {"platform": "whatsapp", "platformid": "100", "destination": "34600000000", "messageid": "m1", "sent": True}


@pytest.fixture(scope="module")
def waits(tsql_url: str) -> Iterator[bool]:
    """True where the engine has WAITFOR; elsewhere the procedure is put there without it for these tests."""
    with with_or_without_waitfor(tsql_url, "wait_answer") as waits:
        yield waits


@pytest.fixture(scope="module")
def outbox(tsql_url: str) -> Iterator[Outbox]:
    with open_outbox(tsql_url) as opened:
        yield opened


def answered(claim: Claim, kind: Any = "sent", body: str | None = None, **fields: Any) -> Result:
    return Result(claim.id, claim.lease_id, claim.attempt, kind, datetime.now(UTC), body=body, **fields)


def body(*rows: dict[str, Any]) -> str:
    return json.dumps({"status": "SUCCESS", "result": {"list": rows}})


def result_sets(connection: Any, sql: str, *values: object) -> list[list[Any]]:
    cursor = connection.cursor()
    cursor.execute("SET NOCOUNT ON; " + sql, values)
    sets: list[list[Any]] = []
    while True:
        if cursor.description:
            sets.append([tuple(row) for row in cursor.fetchall()])
        if not cursor.nextset():
            return sets


def ask(query: Any, procedure: str) -> int:
    chat = "" if procedure == "get_chat_channels" else CHAT if procedure != "get_chats" else CHAT[:44]
    separator = ", " if chat else ""
    sql = f"DECLARE @id bigint; EXEC afil.{procedure} {chat}{separator}@id = @id OUTPUT; SELECT @id;"
    return int(query(sql)[0][0])


def test_an_answer_is_read_as_rows_of_its_own_columns(query: Any, connection: Any, outbox: Outbox) -> None:
    channels, messages = ask(query, "get_chat_channels"), ask(query, "get_messages")
    rows = {
        channels: body({"platform": "whatsapp", "platformid": "100", "name": "Shop"}),
        messages: body({**MESSAGE, "message": "hi", "status": "read", "datetime": "2026-01-02 03:04:05"}),
    }
    claims = outbox.exchange("w", take=10).claims
    outbox.exchange("w", results=[answered(c, body=rows[c.id]) for c in claims])
    read = "DECLARE @code int; EXEC @code = afil.answer @id = ?; SELECT @code;"
    assert result_sets(connection, read, channels) == [
        [(channels, "sent", None, None)],
        [("whatsapp", "100", "Shop")],
        [(0,)],
    ]
    _, (row,), code = result_sets(connection, read, messages)
    assert row[2:6] == ("34600000000", "hi", "m1", True)
    assert (row[6], str(row[8]), code) == ("read", "2026-01-02 03:04:05", [(0,)])


@pytest.mark.parametrize(("kind", "code"), [("failed", 1), ("uncertain", 2), ("retry", 4)])
def test_the_return_code_says_what_became_of_it(
    query: Any, connection: Any, outbox: Outbox, kind: str, code: int
) -> None:
    id = ask(query, "get_messages")
    (claim,) = outbox.exchange("w", take=1).claims
    outbox.exchange("w", results=[answered(claim, kind, error_code="CHAT_NOT_FOUND", retry_in=60)])
    sets = result_sets(connection, "DECLARE @code int; EXEC @code = afil.answer @id = ?; SELECT @code;", id)
    assert sets[-1] == [(code,)]
    assert sets[0][0][2] == "CHAT_NOT_FOUND"
    assert len(sets) == 2


def test_nobody_reads_the_answer_to_anothers_request(query: Any) -> None:
    id = ask(query, "get_chat_channels")
    query("UPDATE afil.outbox SET created_by = N'somebody else' WHERE id = ?", id)
    with pytest.raises(DriverError, match=r"you have no request.*51002"):
        query("EXEC afil.answer @id = ?", id)


def test_waiting_ends_with_the_answer(query: Any, connection: Any, outbox: Outbox, waits: bool) -> None:
    id = ask(query, "get_chat_channels")

    def work() -> None:
        time.sleep(0.4)
        (claim,) = outbox.exchange("w", take=1).claims
        outbox.exchange("w", results=[answered(claim, body=body({"platform": "telegram", "platformid": "200"}))])

    worker = threading.Thread(target=work)
    worker.start()
    sql = "DECLARE @code int; EXEC @code = afil.wait_answer @id = ?, @wait_ms = 20000; SELECT @code;"
    sets = result_sets(connection, sql, id)
    worker.join()
    assert sets == [[(id, "sent", None, None)], [("telegram", "200", None)], [(0,)]]


def test_waiting_ends_when_the_time_is_over_and_the_request_stays(query: Any, connection: Any, waits: bool) -> None:
    id = ask(query, "get_chat_channels")
    began = time.monotonic()
    sql = "DECLARE @code int; EXEC @code = afil.wait_answer @id = ?, @wait_ms = 300; SELECT @code;"
    assert result_sets(connection, sql, id) == [[(id, "queued", None, None)], [(4,)]]
    assert time.monotonic() - began >= 0.3


def test_waiting_inside_a_transaction_is_refused_and_writes_nothing(query: Any) -> None:
    with pytest.raises(DriverError, match=r"transaction would wait for ever.*51004"):
        query(f"BEGIN TRANSACTION; EXEC afil.send_message {CHAT}, @message = N'x', @wait_ms = 1000;")
    query("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION;")
    assert query("SELECT COUNT(*) FROM afil.all_items")[0][0] == 0


@pytest.mark.parametrize("wait_ms", [0, -1, 3600001])
def test_a_wait_that_makes_no_sense_is_refused(query: Any, wait_ms: int) -> None:
    with pytest.raises(DriverError, match=r"@wait_ms is not between 1 and 3600000.*51001"):
        query(f"EXEC afil.send_message {CHAT}, @message = N'x', @wait_ms = ?;", wait_ms)


def test_a_request_waits_or_says_that_the_engine_cannot(query: Any, waits: bool) -> None:
    sql = f"EXEC afil.send_message {CHAT}, @message = N'x', @wait_ms = 200;"
    if waits:
        assert query(sql)[0].status == "queued"
    else:
        with pytest.raises(DriverError, match=r"needs WAITFOR.*51004"):
            query(sql)
        assert query("SELECT COUNT(*) FROM afil.all_items")[0][0] == 0
