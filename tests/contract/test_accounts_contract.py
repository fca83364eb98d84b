"""Accounts on both engines: fair shares, rates, too many requests, held and tripped accounts and how they open."""

from __future__ import annotations

import pytest

from afilsql.outbox.records import Limit
from tests.contract.conftest import Engine

PAST = "'2020-01-01 00:00:00.000'"


def enqueue(engine: Engine, account: str, count: int, *, priority: int = 5) -> list[int]:
    return [engine.send(f"{account}-{n}", account=account, priority=priority) for n in range(count)]


def accounts(engine: Engine, count: int, **options) -> list[str]:
    return [c.account for c in engine.take(count, **options)]


def due(engine: Engine) -> None:
    """Let the time come when a closed account is tried."""
    engine.query(f"UPDATE account SET probe_at = {PAST}")


def test_accounts_take_turns_however_many_rows_one_has_waiting(engine: Engine) -> None:
    enqueue(engine, "flood", 40)
    enqueue(engine, "shop", 3)
    enqueue(engine, "desk", 3)
    taken = accounts(engine, 9)
    assert sorted(taken) == ["desk"] * 3 + ["flood"] * 3 + ["shop"] * 3
    assert accounts(engine, 4) == ["flood"] * 4


def test_a_higher_priority_goes_first_whichever_account_has_it(engine: Engine) -> None:
    enqueue(engine, "shop", 2, priority=5)
    urgent = enqueue(engine, "flood", 4, priority=0)
    assert set(engine.take_ids(4)) == set(urgent)


def test_an_account_gets_no_more_than_its_room_and_the_others_the_rest(engine: Engine) -> None:
    enqueue(engine, "slow", 20)
    enqueue(engine, "shop", 20)
    taken = accounts(engine, 16, limits=[Limit("slow", room=2)])
    assert (taken.count("slow"), taken.count("shop")) == (2, 14)
    taken = accounts(engine, 16, room=3, limits=[Limit("slow", room=0)])
    assert (taken.count("slow"), taken.count("shop")) == (0, 3)


def test_a_row_passed_by_for_lack_of_room_is_taken_later_and_in_order(engine: Engine) -> None:
    ids = [engine.send("same", account="slow") for _ in range(3)]
    assert engine.take_ids(5, limits=[Limit("slow", room=0)]) == []
    order = []
    while claims := engine.take(5, limits=[Limit("slow", room=1)]):
        order += [c.id for c in claims]
        engine.hand_in(claims[0])
    assert order == ids


def test_a_rate_lets_its_burst_through_and_then_so_many_a_second_for_all_workers_together(engine: Engine) -> None:
    enqueue(engine, "default", 30)
    limit = [Limit("default", rate=4, burst=6)]
    first = engine.outbox.exchange("one", take=20, limits=limit)
    second = engine.outbox.exchange("two", take=20, limits=limit)
    assert len(first.claims) == 6
    assert len(second.claims) <= 1  # what a slow machine's milliseconds have earned
    assert second.next_due_in is not None
    assert second.next_due_in <= 0.26
    engine.later(1.0)
    assert 3 <= len(engine.outbox.exchange("two", take=20, limits=limit).claims) <= 6


def test_an_account_without_a_limit_forgets_the_one_it_had(engine: Engine) -> None:
    enqueue(engine, "default", 30)
    assert len(engine.take(20, limits=[Limit("default", rate=1, burst=1)])) == 1
    assert len(engine.take(20)) == 20


def test_after_too_many_requests_the_account_rests_as_long_as_asked_and_the_others_do_not(engine: Engine) -> None:
    enqueue(engine, "shop", 4)
    enqueue(engine, "desk", 2)
    (claim,) = engine.take(1, limits=[Limit("desk", room=0)])
    engine.hand_in(claim, "retry", retry_in=1.5, http_status=429, error_code="HTTP_429")
    assert accounts(engine, 10) == ["desk"] * 2
    engine.later(1.6)
    assert accounts(engine, 10) == ["shop"]  # the rate starts low, and one token is there


def test_a_rate_found_by_429_is_below_what_was_allowed_and_grows_back_to_it(engine: Engine) -> None:
    enqueue(engine, "default", 60)
    limit = [Limit("default", rate=10, burst=10)]
    claims = engine.take(20, limits=limit)
    engine.hand_in(claims[0], "retry", retry_in=1, http_status=429)
    assert engine.query("SELECT rate_found FROM account") == [(pytest.approx(7.0),)]
    engine.query(f"UPDATE account SET rest_until = NULL, tokens_at = {PAST}")
    assert len(engine.take(20, limits=limit)) == 10
    assert engine.query("SELECT rate, rate_found FROM account") == [(10.0, None)]


def test_a_burst_of_429_from_calls_under_way_cuts_the_rate_once(engine: Engine) -> None:
    enqueue(engine, "default", 10)
    claims = engine.take(10, limits=[Limit("default", rate=10)])
    for claim in claims[:5]:
        engine.hand_in(claim, "retry", retry_in=3, http_status=429)
    assert engine.query("SELECT rate_found FROM account") == [(pytest.approx(7.0),)]


def held(engine: Engine) -> int:
    (id,) = enqueue(engine, "shop", 1)
    (claim,) = engine.take()
    engine.hand_in(claim, "hold", error_code="INCORRECT_USER_PASSWORD", detail="no", healthy=False)
    return id


def test_a_held_account_is_tried_with_one_request_when_it_is_due(engine: Engine) -> None:
    id = held(engine)
    enqueue(engine, "shop", 3)
    assert engine.take() == []
    due(engine)
    (claim,) = engine.take()
    assert (claim.id, claim.probe) == (id, True)
    assert engine.take() == [], "one at a time"


def test_a_healthy_answer_opens_a_held_account_by_itself(engine: Engine) -> None:
    held(engine)
    enqueue(engine, "shop", 2)
    due(engine)
    (claim,) = engine.take()
    answer = engine.hand_in(claim, "sent", healthy=True)
    assert [name for name, _ in answer.reopened] == ["shop"]
    assert engine.outbox.status().held == []
    assert accounts(engine, 5) == ["shop"] * 2


def test_credentials_refused_again_keep_it_held_until_it_is_due_again(engine: Engine) -> None:
    id = held(engine)
    due(engine)
    (claim,) = engine.take()
    assert engine.hand_in(claim, "hold", error_code="MISSING_USER", healthy=False).reopened == []
    assert engine.take() == []
    assert len(engine.outbox.status().held) == 1
    assert engine.status(id) == "queued"
    assert engine.query("SELECT attempts FROM outbox") == [(0,)]


def test_an_account_held_by_hand_is_not_tried_by_itself(engine: Engine) -> None:
    engine.outbox.hold_account("shop", "new password on Monday")
    enqueue(engine, "shop", 1)
    engine.later(0.01)
    due_never = engine.query("SELECT probe_at FROM account")
    assert due_never == [(None,)]
    assert engine.take() == []
    assert engine.outbox.release_account("shop")
    assert accounts(engine, 5) == ["shop"]


def test_an_open_breaker_lets_one_through_and_that_ones_success_closes_it(engine: Engine) -> None:
    enqueue(engine, "shop", 4)
    enqueue(engine, "desk", 1)
    engine.outbox.exchange("w", limits=[Limit("shop", tripped=True)])
    assert accounts(engine, 9) == ["desk"]
    assert engine.outbox.status().held == [("shop", "BREAKER_OPEN: most calls failed")]
    due(engine)
    (claim,) = engine.take()
    assert claim.probe
    assert [name for name, _ in engine.hand_in(claim, "sent", healthy=True).reopened] == ["shop"]
    assert accounts(engine, 9) == ["shop"] * 3


def test_a_failed_trial_lets_the_breaker_wait_longer_and_costs_the_row_no_try(engine: Engine) -> None:
    (id,) = enqueue(engine, "shop", 1)
    engine.outbox.exchange("w", limits=[Limit("shop", tripped=True)])
    waits = []
    for _ in range(6):
        due(engine)
        (claim,) = engine.take()
        next_due = engine.hand_in(claim, "release", healthy=False, error_code="CONNECT").next_due_in
        assert next_due is not None
        waits.append(next_due)
    assert waits == [pytest.approx(s, abs=0.5) for s in (10, 20, 40, 60, 60, 60)]
    assert engine.outbox.get(id).item.attempts == 0


def test_a_worker_that_dies_while_trying_an_account_does_not_keep_it_closed(engine: Engine) -> None:
    enqueue(engine, "shop", 2)
    engine.outbox.exchange("w", limits=[Limit("shop", tripped=True)])
    due(engine)
    (first,) = engine.take(lease_seconds=1)
    engine.later(1.2)
    (second,) = engine.take()
    assert second.probe
    assert second.id != first.id


def test_rows_of_an_open_breaker_count_as_waiting_for_they_will_go(engine: Engine) -> None:
    enqueue(engine, "shop", 1)
    assert engine.outbox.exchange("w", limits=[Limit("shop", tripped=True)]).waiting


def test_an_account_name_with_quotes_and_emoji_is_limited_like_any_other(engine: Engine) -> None:
    name = 'o"d\\d 🙂\t'
    enqueue(engine, name, 3)
    assert accounts(engine, 9, limits=[Limit(name, room=1)]) == [name]
    engine.outbox.exchange("w", limits=[Limit(name, tripped=True)])
    due(engine)
    (claim,) = engine.take()
    assert [a for a, _ in engine.hand_in(claim, healthy=True).reopened] == [name]
