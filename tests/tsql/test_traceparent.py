"""@traceparent of the request procedures, and the check behind it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afilsql.errors import InvalidParameter
from afilsql.outbox.records import Request
from afilsql.outbox.validate import validate
from tests.contract.test_trace_contract import CHAT, REFUSED, TRACEPARENT
from tests.tsql.conftest import DriverError
from tests.tsql.test_requests import PROCEDURES, execute, good

pytestmark = pytest.mark.tsql


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_every_request_procedure_keeps_the_trace_context(query: Any, procedure: str) -> None:
    id = execute(query, procedure, **good(procedure), traceparent=TRACEPARENT)
    assert query("SELECT traceparent FROM afil.all_items WHERE id = ?", id)[0][0] == TRACEPARENT


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_every_request_procedure_refuses_what_is_none(query: Any, procedure: str) -> None:
    with pytest.raises(DriverError, match="@traceparent 'x' is not a W3C trace context") as refused:
        execute(query, procedure, **good(procedure), traceparent="x")
    assert "(51001)" in str(refused.value)


def test_many_requests_as_json_keep_it_or_are_refused(query: Any) -> None:
    sent = json.dumps([CHAT | {"traceparent": TRACEPARENT}])
    id = query("EXEC afil.send_messages @messages = ?", sent)[0].id
    assert query("SELECT traceparent FROM afil.all_items WHERE id = ?", id)[0][0] == TRACEPARENT
    with pytest.raises(DriverError, match="request 1: @traceparent '17'"):
        query("EXEC afil.send_messages @messages = ?", json.dumps([CHAT | {"traceparent": 17}]))


@pytest.mark.parametrize("given", [*REFUSED.values(), TRACEPARENT], ids=[*REFUSED, "a trace context"])
def test_the_check_meets_the_verdict_of_python_in_its_words(query: Any, given: str) -> None:
    try:
        verdict = None if validate(Request("sendmessage", CHAT, traceparent=given)) else "never"
    except InvalidParameter as error:
        verdict = str(error)
    found = query("SELECT fault FROM afil.traceparent_check(?)", given)[0][0]
    assert _plain(found) == _plain(verdict)


def _plain(text: str | None) -> bytes | None:
    """What Babelfish 4.3 leaves of a text that an inline function puts together: its code page."""
    return text.encode("ascii", "replace") if text else None
