"""Uncertain sends that are read back, on both engines: when they are given out, what they wait for, how they end."""

from __future__ import annotations

from afilsql.outbox.records import Claim
from tests.contract.conftest import Engine


def doubtful(engine: Engine, destination: str = "1", *, look_in: float | None = 0.0, **message: str) -> Claim:
    """Send a message of which nobody can say whether it arrived."""
    engine.send(destination, **message)
    (claim,) = [c for c in engine.take() if c.check is None]
    engine.hand_in(claim, "uncertain", error_code="TIMEOUT", detail="no answer", look_in=look_in, unknown=True)
    return claim


def check(engine: Engine) -> Claim:
    engine.later(0.01)
    (claim,) = engine.take()
    assert claim.check is not None
    return claim


def test_an_uncertain_send_is_given_out_to_be_read_back_when_it_is_time(engine: Engine) -> None:
    first = doubtful(engine, look_in=60.0, message="hello")
    answer = engine.outbox.exchange("w", take=5)
    assert list(answer.claims) == []
    assert answer.waiting
    assert answer.next_due_in is not None
    assert answer.next_due_in <= 60.0
    engine.later(61)
    claim = check(engine)
    assert (claim.id, claim.attempt, claim.parameters["message"]) == (first.id, 1, "hello")
    assert claim.check is not None
    assert claim.check.unknown_since == claim.check.taken_at < claim.check.now
    assert engine.take() == [], "leased"


def test_its_conversation_waits_meanwhile_and_others_do_not(engine: Engine) -> None:
    doubtful(engine)
    behind, other = engine.send("1"), engine.send("2")
    claim = check_and_others(engine, {other})
    engine.hand_in(claim, "sent", detail="read back: listed")
    assert engine.status(claim.id) == "sent"
    assert engine.take_ids() == [behind]


def check_and_others(engine: Engine, others: set[int]) -> Claim:
    engine.later(0.01)
    claims = engine.take()
    assert {c.id for c in claims if c.check is None} == others
    (claim,) = [c for c in claims if c.check is not None]
    return claim


def test_absent_sends_it_again_before_the_rest_of_its_conversation(engine: Engine) -> None:
    doubtful(engine)
    behind = engine.send("1")
    claim = check(engine)
    engine.hand_in(claim, "retry", error_code="NOT_ARRIVED", detail="read back: not listed")
    (again,) = engine.take()
    assert (again.id, again.attempt, again.check) == (claim.id, 2, None)
    engine.hand_in(again)
    assert engine.take_ids() == [behind]


def test_doubt_is_looked_at_again_and_at_last_left_to_a_person_with_the_reason(engine: Engine) -> None:
    doubtful(engine)
    behind = engine.send("1")
    engine.hand_in(check(engine), "uncertain", detail="read back: not listed yet", look_in=0.0)
    claim = check(engine)
    engine.hand_in(claim, "uncertain", detail="read back: listed twice")
    detail = engine.outbox.get(claim.id)
    assert (detail.item.status, detail.item.error_code) == ("uncertain", "TIMEOUT")
    assert detail.item.completed_at is not None
    assert [(a.attempt, a.detail) for a in detail.history] == [(1, "no answer; read back: listed twice")]
    assert engine.take_ids() == [behind]


def test_it_knows_what_else_its_conversation_was_sent(engine: Engine) -> None:
    sent = engine.send("1", "first")
    engine.hand_in(engine.take()[0])
    engine.send("2", "elsewhere")
    engine.hand_in(engine.take()[0])
    engine.send("1", "failed")
    engine.hand_in(engine.take()[0], "failed")
    left = doubtful(engine, look_in=None, message="left to a person")
    doubtful(engine, message="now")
    claim = check(engine)
    assert claim.check is not None
    assert [(k.id, k.certain, k.texts) for k in sorted(claim.check.known, key=lambda k: k.id)] == [
        (sent, True, ("first",)),
        (left.id, False, ("left to a person",)),
    ]


def test_a_message_that_a_person_put_back_in_the_queue_is_known_as_doubtful(engine: Engine) -> None:
    first = doubtful(engine, look_in=None, message="same")
    doubtful(engine, message="same")
    engine.outbox.requeue([first.id])
    claim = check(engine)
    assert claim.check is not None
    assert [(k.id, k.certain) for k in claim.check.known] == [(first.id, False)]


def test_one_that_was_read_back_as_arrived_is_certain_to_the_next(engine: Engine) -> None:
    first = doubtful(engine)
    engine.hand_in(check(engine), "sent")
    doubtful(engine)
    claim = check(engine)
    assert claim.check is not None
    assert [(k.id, k.certain) for k in claim.check.known] == [(first.id, True)]


def test_a_lease_that_runs_out_is_read_back_at_once_under_reconcile(engine: Engine) -> None:
    id = engine.send("1")
    behind = engine.send("1")
    engine.take(lease_seconds=1)
    engine.later(1.2)
    claims = engine.take(on_unknown="reconcile")
    assert [(c.id, c.check is not None) for c in claims] == [(id, True)]
    assert claims[0].check is not None
    assert (claims[0].check.now - claims[0].check.unknown_since).total_seconds() >= 1
    assert behind not in engine.take_ids()


def test_a_worker_that_dies_while_reading_back_leaves_it_to_another(engine: Engine) -> None:
    doubtful(engine)
    engine.later(0.01)
    (first,) = engine.take(lease_seconds=1)
    engine.later(1.2)
    second = check(engine)
    assert second.lease_id != first.lease_id
    assert engine.hand_in(first, "retry").lost == []
    assert engine.status(first.id) == "uncertain", "the first one's word no longer counts"
    engine.hand_in(second, "sent")
    assert engine.status(first.id) == "sent"


def test_a_person_may_settle_it_while_it_is_being_read_back(engine: Engine) -> None:
    first = doubtful(engine)
    claim = check(engine)
    engine.outbox.requeue([first.id])
    engine.hand_in(claim, "sent")
    assert engine.status(first.id) == "queued"
    assert engine.take_ids() == [first.id]


def test_rows_to_be_read_back_take_at_most_half_of_the_senders(engine: Engine) -> None:
    for n in range(6):
        doubtful(engine, f"a{n}", look_in=60)
    new = [engine.send(f"b{n}") for n in range(6)]
    engine.query("UPDATE outbox SET check_at = '2020-01-01 00:00:00.000' WHERE check_at IS NOT NULL")
    claims = engine.take(6)
    assert sum(c.check is not None for c in claims) == 3
    assert {c.id for c in claims if c.check is None} == set(new[:3])


def test_those_of_a_held_account_wait_until_it_is_released(engine: Engine) -> None:
    first = doubtful(engine)
    engine.outbox.hold_account("default", "why")
    engine.later(0.01)
    assert engine.take() == []
    engine.outbox.release_account("default")
    assert [c.id for c in engine.take()] == [first.id]


def test_refused_credentials_while_reading_back_hold_the_account_and_keep_the_row(engine: Engine) -> None:
    claim = doubtful(engine)
    engine.hand_in(check(engine), "hold", error_code="MISSING_USER", healthy=False)
    assert len(engine.outbox.status().held) == 1
    assert engine.status(claim.id) == "uncertain"
    engine.outbox.release_account("default")
    assert check(engine).id == claim.id


def test_a_reading_can_be_what_opens_a_closed_account(engine: Engine) -> None:
    from afilsql.outbox.records import Limit

    doubtful(engine)
    engine.outbox.exchange("w", limits=[Limit("default", tripped=True)])
    engine.query("UPDATE account SET probe_at = '2020-01-01 00:00:00.000'")
    claim = check(engine)
    assert claim.probe
    assert [a for a, _ in engine.hand_in(claim, "sent", healthy=True).reopened] == ["default"]
