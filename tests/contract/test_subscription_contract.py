"""Subscriptions on both engines: what they ask and when, and what they leave alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from afilsql.errors import InvalidParameter
from afilsql.outbox.records import Limit, Subscription
from tests.contract.conftest import Engine, result
from tests.contract.inbound import ask, backlog, chat, poll, waits

MINUTE = "UPDATE setting SET value = '{}' WHERE name = 'inbound_per_minute'"


def of(engine: Engine) -> list[tuple[str, str | None]]:
    """Take all there is; (method, destination) of each."""
    return [(c.method, c.parameters.get("destination")) for c in engine.take()]


def answered(engine: Engine) -> list[tuple[str, str | None]]:
    """Take all there is, and answer it with nothing; (method, destination) of each."""
    claims = engine.take()
    for claim in claims:
        engine.hand_in(claim)
    return [(c.method, c.parameters.get("destination")) for c in claims]


def only(engine: Engine) -> Subscription:
    (found,) = engine.outbox.subscriptions()
    return found


def polls(engine: Engine) -> int:
    return int(engine.query("SELECT COUNT(*) FROM outbox WHERE subscription_id IS NOT NULL")[0][0])


def from_now(engine: Engine) -> float:
    """Seconds until the only subscription asks next."""
    return (only(engine).next_at - engine.now()).total_seconds()


@pytest.fixture
def per_minute(engine: Engine) -> Iterator[Any]:
    """Sets how many requests a minute subscriptions may make for an account."""
    yield lambda count: engine.query(MINUTE.format(count))
    engine.query(MINUTE.format(60))


# Subscribing


def test_a_subscription_is_kept_with_everything_that_was_asked(engine: Engine) -> None:
    id = engine.outbox.subscribe("whatsapp", "100", account="shop", every_seconds=7, unread_only=True)
    found = only(engine)
    assert (found.id, found.account, found.platform, found.platformid) == (id, "shop", "whatsapp", "100")
    assert (found.destination, found.every_seconds, found.unread_only) == (None, 7, True)
    assert (found.last_at, found.failures, found.error_code) == (None, 0, None)
    assert abs(from_now(engine)) < 60
    assert found.created_by


def test_subscriptions_are_listed_by_account_channel_and_destination(engine: Engine) -> None:
    for account, platform, platformid, destination in (
        ("shop", "whatsapp", "100", None),
        ("default", "whatsapp", "200", None),
        ("default", "whatsapp", "100", "9"),
        ("default", "whatsapp", "100", None),
        ("default", "telegram", "100", ""),
    ):
        engine.outbox.subscribe(platform, platformid, destination, account=account)
    assert [(s.account, s.platform, s.platformid, s.destination) for s in engine.outbox.subscriptions()] == [
        ("default", "telegram", "100", None),
        ("default", "whatsapp", "100", None),
        ("default", "whatsapp", "100", "9"),
        ("default", "whatsapp", "200", None),
        ("shop", "whatsapp", "100", None),
    ]


def test_subscribing_again_changes_the_interval_and_makes_it_due(engine: Engine) -> None:
    id = engine.outbox.subscribe("whatsapp", "100", every_seconds=3600)
    poll(engine, "chats")
    assert from_now(engine) > 3000
    assert engine.outbox.subscribe("whatsapp", "100", every_seconds=60, unread_only=True) == id
    assert from_now(engine) <= 0
    assert (only(engine).every_seconds, only(engine).unread_only) == (60, True)
    assert of(engine) == [("getchats", None)]


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("platform", {"platform": "fax"}),
        ("platform", {"platform": ""}),
        ("platformid", {"platformid": "  "}),
        ("platformid", {"platformid": "1" * 101}),
        ("destination", {"destination": "1" * 201}),
        ("account", {"account": ""}),
        ("account", {"account": "a" * 129}),
        ("every_seconds", {"every_seconds": 4}),
        ("every_seconds", {"every_seconds": 86401}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_subscribed_to_is_refused_by_name(engine: Engine, name: str, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=f"@{name}"):
        engine.outbox.subscribe(**{"platform": "whatsapp", "platformid": "100"} | bad)
    assert engine.outbox.subscriptions() == []


@pytest.mark.parametrize("every", [5, 86400])
def test_the_shortest_and_the_longest_interval_are_allowed(engine: Engine, every: int) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=every)
    assert only(engine).every_seconds == every


def test_unsubscribing_ends_one_subscription_and_says_whether_there_was_one(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100")
    kept = engine.outbox.subscribe("whatsapp", "100", "1")
    assert not engine.outbox.unsubscribe("whatsapp", "100", "2")
    assert not engine.outbox.unsubscribe("whatsapp", "100", account="shop")
    assert engine.outbox.unsubscribe("whatsapp", "100")
    assert not engine.outbox.unsubscribe("whatsapp", "100")
    assert [s.id for s in engine.outbox.subscriptions()] == [kept]


def test_unsubscribing_drops_what_was_about_to_be_asked_and_keeps_what_was_received(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", "1", every_seconds=86400)
    poll(engine, "messages")
    engine.outbox.subscribe("whatsapp", "100", every_seconds=3600)
    poll(engine, "chats", *(chat(str(n)) for n in range(6)))
    assert len(engine.take(1)) == 1
    assert polls(engine) == 4, "one is under way, three wait for a sender"
    assert engine.outbox.unsubscribe("whatsapp", "100", "1")
    assert sum(waits(engine).values()) == 2, "two wait for the others"
    engine.outbox.unsubscribe("whatsapp", "100")
    assert engine.take() == []
    assert engine.query("SELECT COUNT(*) FROM outbox WHERE status = 'queued'") == [(0,)]
    assert waits(engine) == {str(n): False for n in range(6)}


@pytest.mark.parametrize("kind", ["sent", "failed"])
def test_the_end_of_a_poll_whose_subscription_ended_changes_nothing(engine: Engine, kind: str) -> None:
    engine.outbox.subscribe("whatsapp", "100")
    (claim,) = engine.take()
    engine.outbox.unsubscribe("whatsapp", "100")
    engine.outbox.subscribe("whatsapp", "100", every_seconds=60)
    assert engine.outbox.receive(claim, "chats", [chat("1")])
    assert engine.hand_in(claim, kind, error_code=None if kind == "sent" else "X").lost == []
    engine.take()
    assert (only(engine).last_at, only(engine).failures) == (None, 0)


# What is asked, and when


def test_a_channel_has_its_chats_listed_at_once_and_again_after_its_interval(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=20)
    (claim,) = engine.take()
    assert (claim.method, claim.parameters) == ("getchats", {"platform": "whatsapp", "platformid": "100"})
    item = engine.outbox.get(claim.id).item
    assert (item.priority, item.max_attempts, item.created_by) == (9, 1, only(engine).created_by)
    engine.receive(claim, "chats", [])
    assert engine.take() == []
    assert from_now(engine) == pytest.approx(20, abs=5)
    engine.later(10)
    assert engine.take() == []
    engine.later(15)
    assert of(engine) == [("getchats", None)]


@pytest.mark.parametrize(("unread_only", "method"), [(False, "getmessages"), (True, "getunreadmessages")])
def test_one_chat_has_its_messages_listed(engine: Engine, unread_only: bool, method: str) -> None:
    engine.outbox.subscribe("whatsapp", "100", "1", unread_only=unread_only)
    assert of(engine) == [(method, "1")]


@pytest.mark.parametrize(("unread_only", "method"), [(False, "getmessages"), (True, "getunreadmessages")])
def test_the_chats_that_changed_have_their_messages_listed_once(engine: Engine, unread_only: bool, method: str) -> None:
    engine.outbox.subscribe("whatsapp", "100", unread_only=unread_only)
    poll(engine, "chats", chat("1"), chat("2"))
    claims = engine.take()
    assert {(c.method, c.parameters["destination"]) for c in claims} == {(method, "1"), (method, "2")}
    assert {engine.outbox.get(c.id).item.priority for c in claims} == {9}
    for claim in claims:
        engine.receive(claim, "messages", [])
    assert engine.take() == []


def test_a_claim_says_whether_a_subscription_asks(engine: Engine) -> None:
    engine.send()
    engine.outbox.subscribe("whatsapp", "100")
    assert {c.method: c.poll for c in engine.take()} == {"sendmessage": False, "getchats": True}


def test_an_exchange_that_takes_nothing_asks_nothing(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100")
    engine.outbox.exchange("w")
    assert polls(engine) == 0


def test_one_request_is_under_way_for_each_chat(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", "1", every_seconds=60)
    (claim,) = engine.take()
    engine.later(61)
    assert engine.take() == []
    engine.receive(claim, "messages", [])
    engine.later(0.01)
    assert of(engine) == [("getmessages", "1")], "the one that is due comes at once"


def test_a_chat_subscribed_to_in_two_ways_is_asked_for_by_one_at_a_time(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100")
    poll(engine, "chats", chat("1"))
    engine.outbox.subscribe("whatsapp", "100", "1")
    assert of(engine) == [("getmessages", "1")]


def test_a_chat_due_in_two_ways_is_asked_for_once(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100")
    (claim,) = engine.take()
    engine.outbox.subscribe("whatsapp", "100", "1")
    engine.receive(claim, "chats", [chat("1")])
    assert of(engine) == [("getmessages", "1")]
    assert engine.query("SELECT COUNT(*) FROM outbox WHERE destination = '1'") == [(1,)]


def test_the_chats_of_a_channel_are_asked_for_as_its_own_subscription_says(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", "9", unread_only=True)
    engine.take()
    engine.outbox.subscribe("whatsapp", "100")
    poll(engine, "chats", chat("1"))
    assert of(engine) == [("getmessages", "1")]


def test_polls_go_after_sends_and_hold_up_none_of_their_conversation(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", "1")
    sends = [engine.send("1", priority=9) for _ in range(2)]
    (first,) = engine.take(1)
    assert first.id == sends[0]
    (claim,) = engine.take()
    assert claim.method == "getmessages", "beside the send that is under way"
    engine.hand_in(first)
    assert engine.take_ids() == [sends[1]], "and the next send beside it"


def test_a_poll_counts_as_waiting(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100")
    engine.outbox.exchange("w", take=1, limits=[Limit("default", room=0)])
    assert engine.outbox.exchange("w").waiting


def test_the_next_exchange_is_due_when_a_subscription_is(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=40)
    poll(engine, "chats")
    assert engine.outbox.exchange("w", take=1).next_due_in == pytest.approx(40, abs=5)
    engine.outbox.hold_account("default", "no")
    assert engine.outbox.exchange("w", take=1).next_due_in is None


# What becomes of polls


def test_a_poll_that_succeeded_is_noted_and_gone(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=60)
    (claim,) = engine.take()
    engine.receive(claim, "chats", [], body="[]")
    engine.later(0.01)
    engine.take()
    assert engine.outbox.items() == []
    for table in ("attempt", "response"):
        assert engine.query(f"SELECT COUNT(*) FROM {table}") == [(0,)]
    last_at = only(engine).last_at
    assert last_at is not None
    assert abs(last_at - engine.now()) < timedelta(seconds=60)
    assert (only(engine).failures, only(engine).error_code) == (0, None)


def fail(engine: Engine, code: str) -> None:
    """One poll is made, and fails."""
    (claim,) = engine.take(1)
    engine.hand_in(claim, "failed", error_code=code)
    engine.later(0.01)
    engine.take(1)


@pytest.mark.parametrize(
    ("every", "waits"), [(10, [20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]), (7200, [7200, 7200])]
)
def test_what_keeps_failing_is_asked_ever_less_often(engine: Engine, every: int, waits: list[int]) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=every)
    found = []
    for _ in waits:
        fail(engine, "CHANNEL_NOT_FOUND")
        found.append(from_now(engine))
        engine.later(7300)
    assert found == [pytest.approx(wait, abs=5) for wait in waits]
    assert (only(engine).failures, only(engine).error_code) == (len(waits), "CHANNEL_NOT_FOUND")
    assert only(engine).last_at is None
    assert polls(engine) == 0


def test_the_first_failure_in_a_row_is_logged_and_a_success_ends_the_row(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=60)

    def logged() -> list[tuple[str]]:
        return engine.query("SELECT detail FROM event_log WHERE event = 'poll_failed'")

    for _ in range(2):
        fail(engine, "CHANNEL_NOT_FOUND")
        engine.later(4000)
    ((detail,),) = logged()
    assert all(part in detail for part in ("default", "whatsapp", "100", "CHANNEL_NOT_FOUND"))
    poll(engine, "chats")
    engine.later(0.01)
    engine.take(1)
    assert (only(engine).failures, only(engine).error_code) == (0, None)
    assert from_now(engine) <= 60
    engine.later(61)
    fail(engine, "HTTP_503")
    assert len(logged()) == 2


@pytest.mark.parametrize(("every", "wait"), [(5, 60), (90, 90)])
def test_a_chat_that_could_not_be_read_is_asked_for_again(engine: Engine, every: int, wait: int) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=every)
    poll(engine, "chats", chat("1"))
    fail(engine, "HTTP_503")
    assert (only(engine).failures, only(engine).error_code) == (1, "HTTP_503")
    assert waits(engine) == {"1": True}
    engine.later(wait - 10)
    assert ("getmessages", "1") not in of(engine)
    engine.later(15)
    assert ("getmessages", "1") in of(engine)


def test_a_chat_that_changed_while_it_could_not_be_read_is_asked_for_at_once(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=3600)
    poll(engine, "chats", chat("1"))
    (claim,) = engine.take(1)
    engine.receive(ask(engine, "getchats"), "chats", [chat("1", messageid="another")])
    engine.hand_in(claim, "failed", error_code="HTTP_503")
    engine.later(0.01)
    assert of(engine) == [("getmessages", "1")]


def test_a_chat_that_is_not_there_is_not_asked_for_until_it_changes(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=60)
    poll(engine, "chats", chat("1"))
    fail(engine, "CHAT_NOT_FOUND")
    assert waits(engine) == {"1": False}
    engine.receive(ask(engine, "getchats"), "chats", [chat("1", messageid="another")])
    assert waits(engine) == {"1": True}


def test_the_success_of_a_chats_poll_is_not_the_first_answer_of_its_channel(engine: Engine) -> None:
    """What the channel lists first is history, though one of its chats was read before."""
    engine.outbox.subscribe("whatsapp", "100", every_seconds=60)
    fail(engine, "HTTP_503")
    engine.receive(ask(engine, "getchats"), "chats", [chat("1")])
    poll(engine, "messages")
    engine.later(121)
    poll(engine, "chats", chat("1"), chat("2"))
    assert backlog(engine)["2"]


def test_a_poll_that_meets_too_many_requests_lets_the_account_rest_as_long_as_asked(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100")
    (claim,) = engine.take()
    engine.hand_in(claim, "failed", error_code="HTTP_429", http_status=429, retry_in=2.0)
    engine.send()
    assert engine.take() == []
    engine.later(2.1)
    assert [c.method for c in engine.take()] == ["sendmessage"]


def test_a_poll_left_by_a_dead_worker_fails_and_is_asked_again(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=60)
    assert len(engine.take(lease_seconds=1)) == 1
    engine.later(1.2)
    engine.outbox.exchange("other", on_unknown="reconcile")
    engine.later(0.01)
    engine.take()
    assert engine.outbox.status().counts["uncertain"] == 0
    assert (only(engine).failures, only(engine).error_code) == (1, "LEASE_EXPIRED")
    engine.later(121)
    assert of(engine) == [("getchats", None)]


def test_a_result_handed_in_again_after_its_answer_was_lost_is_not_lost(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100")
    (claim,) = engine.take()
    for _ in range(2):
        assert engine.outbox.exchange("w", results=[result(claim)], take=1).lost == []


# Whose turn it is


@pytest.mark.parametrize("how", ["held", "tripped"])
def test_nothing_is_asked_for_an_account_that_is_closed(engine: Engine, how: str) -> None:
    engine.outbox.subscribe("whatsapp", "100")
    engine.outbox.subscribe("whatsapp", "100", account="shop")
    if how == "held":
        engine.outbox.hold_account("shop", "no")
    else:
        engine.outbox.exchange("w", limits=[Limit("shop", tripped=True)])
    assert [c.account for c in engine.take()] == ["default"]
    assert polls(engine) == 1
    assert engine.outbox.release_account("shop")
    assert [c.account for c in engine.take()] == ["shop"]


def test_an_account_asks_a_quarter_of_a_minutes_worth_at_once_and_then_so_many_a_minute(
    engine: Engine, per_minute: Any
) -> None:
    per_minute(12)
    for n in range(10):
        engine.outbox.subscribe("whatsapp", "100", str(n), every_seconds=86400)
    engine.outbox.subscribe("whatsapp", "100", account="shop", every_seconds=86400)
    assert set(answered(engine)) == {("getchats", None), *(("getmessages", str(n)) for n in range(3))}
    assert engine.take() == []
    engine.later(11)
    assert answered(engine) == [("getmessages", "3"), ("getmessages", "4")]
    engine.later(60)
    assert answered(engine) == [("getmessages", str(n)) for n in (5, 6, 7)]


def test_a_small_budget_still_lets_one_through_and_none_stops_all(engine: Engine, per_minute: Any) -> None:
    for n in range(3):
        engine.outbox.subscribe("whatsapp", "100", str(n), every_seconds=86400)
    per_minute(0)
    assert engine.take() == []
    per_minute(1)
    assert answered(engine) == [("getmessages", "0")]
    engine.later(50)
    assert engine.take() == []
    engine.later(15)
    assert answered(engine) == [("getmessages", "1")]


def test_subscriptions_that_are_due_go_before_chats_and_those_that_wait_longest_first(
    engine: Engine, per_minute: Any
) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=3600)
    poll(engine, "chats")
    per_minute(0)
    for destination in ("b", "a", "c"):
        engine.receive(ask(engine, "getchats"), "chats", [chat(destination)])
        engine.later(0.01)
    engine.query("UPDATE account SET poll_tokens = 0")
    per_minute(12)
    engine.outbox.subscribe("whatsapp", "200", every_seconds=3600)
    found = []
    for _ in range(4):
        engine.later(5)
        found += answered(engine)
    assert found == [("getchats", None), ("getmessages", "b"), ("getmessages", "a"), ("getmessages", "c")]


def test_a_chat_that_waits_and_changes_again_keeps_its_place(engine: Engine, per_minute: Any) -> None:
    """Or one that changes all the time would never be the one that waits longest."""
    engine.outbox.subscribe("whatsapp", "100")
    per_minute(0)
    engine.receive(ask(engine, "getchats"), "chats", [chat("1")])
    before = engine.query("SELECT poll_at FROM chat")
    engine.later(0.05)
    engine.receive(ask(engine, "getchats"), "chats", [chat("1", messageid="another")])
    assert engine.query("SELECT poll_at FROM chat") == before


def test_four_requests_of_an_account_are_under_way_at_a_time(engine: Engine) -> None:
    for n in range(6):
        engine.outbox.subscribe("whatsapp", "100", str(n), every_seconds=86400)
    engine.outbox.subscribe("whatsapp", "100", account="shop", every_seconds=86400)
    claims = engine.take()
    assert sorted(c.account for c in claims) == ["default"] * 4 + ["shop"]
    assert engine.take() == []
    (done,) = [c for c in claims if c.parameters.get("destination") == "2"]
    engine.receive(done, "messages", [])
    assert of(engine) == [("getmessages", "4")]


def test_one_exchange_asks_a_hundred_at_most(engine: Engine) -> None:
    for account in range(26):
        for chat_ in range(4):
            engine.outbox.subscribe("whatsapp", "100", str(chat_), account=f"account {account}")
    engine.take(1)
    assert polls(engine) == 100
    engine.take(1)
    assert polls(engine) == 104


def test_what_has_just_failed_is_not_asked_again_in_the_same_exchange(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=60)
    (claim,) = engine.take()
    engine.later(61)
    answer = engine.outbox.exchange("w", results=[result(claim, "failed", error_code="X")], take=5)
    assert list(answer.claims) == []
    engine.later(0.01)
    assert engine.take() == []
    assert from_now(engine) == pytest.approx(120, abs=30)
