"""What a claim tells of its request: when it was asked for, and in which trace; on each engine."""

from __future__ import annotations

from datetime import timedelta

import pytest

from afilsql.errors import InvalidParameter
from afilsql.outbox.records import Request
from tests.contract.conftest import Engine

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
CHAT = {"platform": "whatsapp", "platformid": "100", "destination": "1", "message": "hi"}

REFUSED = {
    "empty": "",
    "no trace context": "x",
    "capitals": TRACEPARENT.upper(),
    "not hexadecimal": f"00-{'g' * 32}-{SPAN}-01",
    "a trace of zeros": f"00-{'0' * 32}-{SPAN}-01",
    "a span of zeros": f"00-{TRACE}-{'0' * 16}-01",
    "another version": f"01-{TRACE}-{SPAN}-01",
    "no flags": f"00-{TRACE}-{SPAN}",
    "more": f"{TRACEPARENT}-00",
    "a space behind": f"{TRACEPARENT} ",
    "a line behind": f"{TRACEPARENT}\n",
    "full-width digits": TRACEPARENT.replace("1", "\uff11"),
    "far too long": "0" * 3000,
}


def test_a_claim_says_when_its_request_was_asked_for(engine: Engine) -> None:
    before = engine.now()
    id = engine.send()
    (claim,) = engine.take()
    assert claim.created_at == engine.outbox.get(id).item.created_at
    assert claim.created_at is not None
    assert abs(claim.created_at - before) < timedelta(seconds=60)


def test_a_trace_context_is_in_the_claim_and_without_one_there_is_none(engine: Engine) -> None:
    engine.send("1", traceparent=TRACEPARENT)
    engine.send("2")
    assert [c.traceparent for c in engine.take()] == [TRACEPARENT, None]


def test_requests_written_together_keep_each_its_own_trace(engine: Engine) -> None:
    other = f"00-{TRACE[::-1]}-{SPAN}-00"
    parents = [TRACEPARENT, None, other]
    engine.outbox.enqueue_many(
        [Request("sendmessage", CHAT | {"destination": str(n)}, traceparent=p) for n, p in enumerate(parents)]
    )
    assert [c.traceparent for c in engine.take()] == parents


def test_a_second_try_and_a_read_back_have_the_trace_and_the_time_of_the_first(engine: Engine) -> None:
    engine.send(traceparent=TRACEPARENT)
    (first,) = engine.take()
    engine.hand_in(first, "retry", retry_in=0.0)
    (second,) = engine.take()
    engine.hand_in(second, "uncertain", unknown=True, look_in=0.0)
    engine.later(0.05)
    (look,) = engine.take(on_unknown="reconcile")
    assert look.check is not None
    for claim in (second, look):
        assert (claim.traceparent, claim.created_at) == (TRACEPARENT, first.created_at)


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_what_is_no_trace_context_is_refused_by_name_and_nothing_is_written(engine: Engine, given: str) -> None:
    request = Request("sendmessage", CHAT, traceparent=given)
    with pytest.raises(InvalidParameter, match="@traceparent") as alone:
        engine.outbox.enqueue(request)
    assert len(str(alone.value)) < 400
    with pytest.raises(InvalidParameter, match="request 2: @traceparent"):
        engine.outbox.enqueue_many([Request("sendmessage", CHAT), request])
    assert engine.outbox.items() == []
