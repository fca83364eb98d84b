"""What comes in, on both engines: lists kept in order, what is new, which send a message is, conversations."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from afilsql.errors import DatabaseError
from afilsql.outbox.records import Account, Claim, Entry, Request
from tests.contract.conftest import Engine
from tests.contract.inbound import answer, ask, backlog, chat, message, poll, waits

CHAT = {"platform": "whatsapp", "platformid": "100", "destination": "1"}


def is_new(engine: Engine) -> dict[str, bool]:
    return {m["messageid"]: m["is_new"] for m in engine.outbox.rows_of("messages")}


def asked_for(engine: Engine) -> set[str]:
    """The chats whose messages a subscription is about to ask for."""
    return {destination for destination, waiting in waits(engine).items() if waiting}


# Who may bring a list


@pytest.mark.parametrize("change", ["lease_id", "attempt", "finished"])
def test_a_list_whose_lease_was_lost_is_not_kept(engine: Engine, change: str) -> None:
    claim = ask(engine)
    if change == "finished":
        engine.hand_in(claim)
    else:
        claim = replace(claim, **{"lease_id": uuid4()} if change == "lease_id" else {"attempt": claim.attempt + 1})
    assert not engine.outbox.receive(claim, "messages", [message("m1")])
    assert engine.outbox.rows_of("messages") == []


def test_a_send_that_is_read_back_brings_no_list(engine: Engine) -> None:
    engine.send()
    (claim,) = engine.take()
    engine.hand_in(claim, "uncertain", unknown=True, look_in=0.0, error_code="TIMEOUT")
    engine.later(0.01)
    (check,) = engine.take(on_unknown="reconcile")
    assert check.check is not None
    assert not engine.outbox.receive(check, "messages", [message("m1")])
    assert engine.outbox.rows_of("messages") == []


def test_a_list_is_kept_before_the_result_is_handed_in_and_leaves_the_row_as_it_is(engine: Engine) -> None:
    claim = ask(engine)
    assert engine.outbox.receive(claim, "messages", [message("m1")])
    assert [m["messageid"] for m in engine.outbox.rows_of("messages")] == ["m1"]
    assert engine.status(claim.id) == "sending"
    engine.hand_in(claim)
    assert engine.status(claim.id) == "sent"


def test_an_answer_kept_twice_is_kept_once(engine: Engine) -> None:
    claim = ask(engine)
    for _ in range(2):
        assert engine.outbox.receive(claim, "messages", [message("m1"), message(None, "without an id")])
    assert len(engine.outbox.rows_of("messages")) == 2


# Times and order


def test_the_time_of_a_message_is_the_one_that_came_with_the_row(engine: Engine) -> None:
    at = engine.now().replace(microsecond=0) - timedelta(days=1)
    answer(engine, message("m1", at=at, datetime="no time"), message("m2", datetime="2026-01-01 10:00:00"))
    assert [(m["datetime"], m["dated_at"]) for m in engine.outbox.rows_of("messages")] == [
        ("no time", at),
        ("2026-01-01 10:00:00", None),
    ]


@pytest.mark.parametrize(
    ("listed", "kept"),
    [
        ([("a", 0), ("b", 1), ("c", 1), ("d", 2)], "abcd"),
        ([("d", 2), ("c", 1), ("b", 1), ("a", 0)], "abcd"),
        ([("b", 1), ("a", 0), ("d", 3), ("c", 2)], "abcd"),
        ([("a", 1), ("b", 1), ("c", 1)], "abc"),
        ([("c", 2), ("a", 0), ("b", None)], "cab"),
        ([("b", None), ("a", None)], "ba"),
    ],
    ids=["oldest first", "newest first", "mixed", "all at once", "one without a time", "none with a time"],
)
def test_messages_are_kept_in_the_order_they_came_about(
    engine: Engine, listed: list[tuple[str, int | None]], kept: str
) -> None:
    start = engine.now().replace(microsecond=0) - timedelta(hours=1)
    answer(engine, *(message(id, at=None if s is None else start + timedelta(seconds=s)) for id, s in listed))
    rows = engine.outbox.rows_of("messages")
    assert "".join(m["messageid"] for m in rows) == kept
    assert [m["id"] for m in rows] == sorted(m["id"] for m in rows)


def test_of_a_message_listed_twice_the_last_counts(engine: Engine) -> None:
    answer(engine, message("m1", "first"), message("m2", "between"), message("m1", "last"))
    assert [m["message"] for m in engine.outbox.rows_of("messages")] == ["between", "last"]


def test_a_message_keeps_its_place_and_when_it_was_seen(engine: Engine) -> None:
    answer(engine, message("m1", status="sent"))
    (before,) = engine.outbox.rows_of("messages")
    assert before["seen_at"] == before["updated_at"]
    assert abs(before["seen_at"] - engine.now()) < timedelta(seconds=60)
    engine.later(0.05)
    answer(engine, message("m1", status="read"), message("m2"))
    after, later = engine.outbox.rows_of("messages")
    assert {k: after[k] for k in ("id", "seen_at", "is_new")} == {k: before[k] for k in ("id", "seen_at", "is_new")}
    assert after["status"] == "read"
    assert after["updated_at"] > before["updated_at"]
    assert later["id"] > after["id"]


# What is new


def test_history_is_not_new_and_what_comes_after_the_first_look_is(engine: Engine) -> None:
    answer(engine, message("m1"), message("m2"))
    answer(engine, message("m1"), message("m2"), message("m3"))
    assert is_new(engine) == {"m1": False, "m2": False, "m3": True}


def test_another_chat_of_the_channel_begins_with_its_own_history(engine: Engine) -> None:
    answer(engine, message("m1"))
    answer(engine, message("m2", destination="2"), destination="2")
    assert is_new(engine) == {"m1": False, "m2": False}


def test_the_first_answer_to_a_subscription_of_one_chat_is_history_and_the_second_is_new(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", "1", every_seconds=60)
    poll(engine, "messages")
    engine.later(61)
    poll(engine, "messages", message("m1"))
    assert is_new(engine) == {"m1": True}, "the first look found nothing"


def test_a_chat_known_from_a_list_still_begins_with_history_when_it_alone_is_subscribed_to(engine: Engine) -> None:
    claim = ask(engine, "getchats")
    engine.receive(claim, "chats", [chat("1")])
    engine.outbox.subscribe("whatsapp", "100", "1")
    poll(engine, "messages", message("m1"))
    assert is_new(engine) == {"m1": False}


def test_chats_that_were_there_when_a_channels_subscription_began_start_with_history(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=60)
    poll(engine, "chats", chat("1"))
    poll(engine, "messages", message("m1"))
    engine.later(61)
    poll(engine, "chats", chat("1", messageid="c2"), chat("2"))
    assert backlog(engine) == {"1": False, "2": False}
    for claim in engine.take():
        destination = claim.parameters["destination"]
        engine.receive(claim, "messages", [message(f"new {destination}", destination=destination)])
    assert is_new(engine) == {"m1": False, "new 1": True, "new 2": True}


def test_a_chat_that_listed_nothing_was_looked_at_all_the_same(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=60, unread_only=True)
    poll(engine, "chats", chat("1"))
    assert backlog(engine) == {"1": True}
    poll(engine, "messages")
    assert backlog(engine) == {"1": False}
    engine.later(61)
    poll(engine, "chats", chat("1", messageid="c2"))
    poll(engine, "messages", message("m1"))
    assert is_new(engine) == {"m1": True}


def test_what_a_person_asks_of_a_chat_never_looked_at_is_history(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=60)
    poll(engine, "chats")
    engine.later(61)
    poll(engine, "chats", chat("1"))
    assert backlog(engine) == {"1": False}
    (engine.take(), answer(engine, message("m1")))
    assert is_new(engine) == {"m1": False}


# Chats that changed


def test_chats_of_a_channel_nobody_subscribed_to_are_not_asked_for(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", account="shop")
    engine.outbox.subscribe("whatsapp", "200")
    engine.outbox.subscribe("whatsapp", "100", "1")
    engine.take()
    claim = ask(engine, "getchats")
    engine.receive(claim, "chats", [chat("1"), chat("2")])
    assert asked_for(engine) == set()
    assert backlog(engine) == {"1": False, "2": False}


def test_the_first_answer_has_every_chat_asked_for_as_backlog_unless_messages_are_here(engine: Engine) -> None:
    answer(engine, message("m1"))
    engine.receive(ask(engine, "getchats"), "chats", [chat("1"), chat("2")])
    engine.outbox.subscribe("whatsapp", "100")
    poll(engine, "chats", chat("1"), chat("2"), chat("3"))
    assert asked_for(engine) == {"1", "2", "3"}
    assert backlog(engine) == {"1": False, "2": True, "3": True}


@pytest.mark.parametrize("field", ["message", "messageid", "sent", "status", "datetime"])
def test_later_only_chats_that_are_new_or_changed_are_asked_for(engine: Engine, field: str) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=60)
    poll(engine, "chats", chat("1"), chat("2"))
    for destination in ("1", "2"):
        poll(engine, "messages", message(f"last of {destination}", destination=destination))
    assert asked_for(engine) == set()
    engine.later(61)
    changed: Any = True if field == "sent" else "other"
    poll(engine, "chats", chat("1"), chat("2", **{field: changed}), chat("3"))
    assert asked_for(engine) == {"2", "3"}


def test_a_chat_that_does_not_list_its_latest_message_yet_is_asked_for_once_more(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=86400)
    poll(engine, "chats", chat("1"))
    poll(engine, "messages", message("an earlier one"))
    assert engine.take() == []
    engine.later(16)
    poll(engine, "messages", message("an earlier one"), message("last of 1"))
    assert asked_for(engine) == set()


def test_a_chat_that_never_lists_its_latest_message_is_left_alone_after_ten_minutes(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=86400)
    poll(engine, "chats", chat("1"))
    engine.query("UPDATE chat SET updated_at = '2026-01-01 00:00:00.000'")
    poll(engine, "messages")
    assert asked_for(engine) == set()


def test_a_chat_asked_for_unread_messages_alone_is_asked_once(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", every_seconds=86400, unread_only=True)
    poll(engine, "chats", chat("1"))
    poll(engine, "messages")
    assert asked_for(engine) == set()


def test_a_list_that_a_person_asked_for_tells_of_changed_chats_too(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100")
    poll(engine, "chats")
    engine.take()
    engine.receive(ask(engine, "getchats"), "chats", [chat("7")])
    assert asked_for(engine) == {"7"}


# Triggers of others


@contextmanager
def trigger(engine: Engine, *, sqlite: str, tsql: str) -> Iterator[None]:
    """A trigger on chat_message while the block lasts."""
    if engine.outbox._engine.dialect.name == "sqlite":  # type: ignore[attr-defined]
        create, drop = f"CREATE TRIGGER theirs AFTER INSERT ON chat_message {sqlite}", "DROP TRIGGER theirs"
    else:
        create, drop = f"CREATE TRIGGER afil.theirs ON chat_message AFTER INSERT AS {tsql}", "DROP TRIGGER afil.theirs"
    engine.query(create)
    try:
        yield
    finally:
        engine.query(drop)


def test_a_trigger_that_refuses_keeps_its_answer_out_and_nothing_else(engine: Engine) -> None:
    claim, send = ask(engine), engine.send("2")
    refuse = {"sqlite": "BEGIN SELECT RAISE(ABORT, 'not today'); END", "tsql": "THROW 50000, 'not today', 1;"}
    with trigger(engine, **refuse):
        with pytest.raises(DatabaseError, match="not today"):
            engine.outbox.receive(claim, "messages", [message("m1")])
        assert engine.outbox.rows_of("messages") == []
        (other,) = engine.take()
        engine.hand_in(other)
        assert (engine.status(send), engine.status(claim.id)) == ("sent", "sending")
    assert engine.outbox.receive(claim, "messages", [message("m1")])


def test_a_trigger_meets_each_new_message_once_however_often_it_is_listed(engine: Engine) -> None:
    new = "(logged_at, event, detail) SELECT {}, 'theirs', {}messageid"
    where = "is_new = 1 AND {}sent = 0"
    answer(engine, message("old", sent=False))
    with trigger(
        engine,
        sqlite=f"WHEN NEW.{where.format('NEW.')} BEGIN INSERT INTO event_log {new.format('NEW.seen_at', 'NEW.')}; END",
        tsql=f"INSERT INTO event_log {new.format('seen_at', '')} FROM inserted WHERE {where.format('')};",
    ):
        for status in ("received", "read", "read"):
            answer(
                engine,
                message("old", sent=False),
                message("theirs", sent=False, status=status),
                message("ours", sent=True, status=status),
            )
    assert engine.query("SELECT detail FROM event_log WHERE event = 'theirs'") == [("theirs",)]


# Which send a message is


def sent(engine: Engine, text: str, **parameters: Any) -> int:
    """Send a message of the conversation, for good."""
    file = {"type": "image", "fileurl": "https://example.com/a.png"} if parameters.pop("file", False) else {}
    method = "sendfile" if file else "sendmessage"
    id = engine.outbox.enqueue(Request(method, {**CHAT, "message": text, **file, **parameters}))
    (claim,) = [c for c in engine.take() if c.id == id]
    engine.hand_in(claim)
    return id


def listed(engine: Engine, id: str, text: str, *, after: float = 0.0, **changed: Any) -> dict[str, Any]:
    """A message of the account's own, dated so many seconds from now."""
    return message(id, text, at=engine.now() + timedelta(seconds=after), **{"sent": True, "status": "sent"} | changed)


def state(engine: Engine, id: int) -> tuple[str | None, str | None]:
    item = engine.outbox.get(id).item
    return item.messageid, item.delivery_status


NOTHING = (None, None)


def test_a_send_recognized_in_its_conversation_gets_its_id_and_status_and_the_status_follows(engine: Engine) -> None:
    id = sent(engine, "Your order left.")
    assert state(engine, id) == NOTHING
    row = listed(engine, "m1", "Your order left.")
    answer(engine, row)
    assert state(engine, id) == ("m1", "sent")
    answer(engine, row | {"status": "read"})
    assert state(engine, id) == ("m1", "read")
    (item,) = [i for i in engine.outbox.items() if i.id == id]
    assert (item.messageid, item.delivery_status) == ("m1", "read")


@pytest.mark.parametrize(
    ("text", "shown", "same"),
    [
        ("one\r\ntwo", "one\ntwo", True),
        (" one ", "one\r\n", True),
        ("One", "one", False),
        ("one two", "one  two", False),
        ("é", "e\u0301", False),
    ],
)
def test_texts_may_differ_in_line_ends_and_outer_space_only(engine: Engine, text: str, shown: str, same: bool) -> None:
    id = sent(engine, text)
    answer(engine, listed(engine, "m1", shown))
    assert state(engine, id) == (("m1", "sent") if same else NOTHING)


def test_a_file_is_recognized_by_its_text_or_without_one_by_its_url(engine: Engine) -> None:
    with_text, without = sent(engine, "look", file=True), sent(engine, "", file=True)
    answer(engine, listed(engine, "m1", "look"), listed(engine, "m2", "https://example.com/a.png"))
    assert (state(engine, with_text), state(engine, without)) == (("m1", "sent"), ("m2", "sent"))


@pytest.mark.parametrize(("after", "near"), [(-180, False), (-100, True), (100, True), (180, False)])
def test_a_message_is_a_sends_only_around_its_time(engine: Engine, after: float, near: bool) -> None:
    id = sent(engine, "hi")
    answer(engine, listed(engine, "m1", "hi", after=after))
    assert (state(engine, id) != NOTHING) == near


@pytest.mark.parametrize(
    "row",
    [{"sent": False}, {"sent": None}, {"messageid": None}, {"dated_at": None}, {"destination": "2"}],
    ids=["received", "direction unknown", "without an id", "without a time", "of another chat"],
)
def test_what_does_not_say_enough_is_no_sends_message(engine: Engine, row: dict[str, Any]) -> None:
    id = sent(engine, "hi")
    answer(engine, listed(engine, "m1", "hi") | row)
    assert state(engine, id) == NOTHING


def test_a_request_that_was_not_sent_is_not_recognized(engine: Engine) -> None:
    waits, failed = engine.send("1", "hi", send_at=engine.now() + timedelta(days=1)), engine.send("1", "ho")
    engine.hand_in(engine.take()[0], "failed", error_code="X")
    answer(engine, listed(engine, "m1", "hi"), listed(engine, "m2", "ho"))
    assert (state(engine, waits), state(engine, failed)) == (NOTHING, NOTHING)


def test_two_sends_of_one_text_are_not_guessed_apart(engine: Engine) -> None:
    one, two = sent(engine, "hi"), sent(engine, "hi")
    answer(engine, listed(engine, "m1", "hi"))
    assert (state(engine, one), state(engine, two)) == (NOTHING, NOTHING)
    answer(engine, listed(engine, "m1", "hi"), listed(engine, "m2", "hi"))
    assert (state(engine, one), state(engine, two)) == (NOTHING, NOTHING)


def test_one_send_is_not_guessed_among_two_messages(engine: Engine) -> None:
    id = sent(engine, "hi")
    answer(engine, listed(engine, "m1", "hi"), listed(engine, "m2", "hi"))
    assert state(engine, id) == NOTHING


def test_what_becomes_ambiguous_is_taken_back(engine: Engine) -> None:
    id, other = sent(engine, "hi"), sent(engine, "ho")
    rows = [listed(engine, "m1", "hi"), listed(engine, "m2", "ho")]
    answer(engine, *rows)
    assert state(engine, id) == ("m1", "sent")
    answer(engine, *rows, listed(engine, "m3", "hi", after=1))
    assert (state(engine, id), state(engine, other)) == (NOTHING, ("m2", "sent"))


def test_a_second_send_of_the_text_around_the_same_time_takes_the_firsts_certainty(engine: Engine) -> None:
    one = sent(engine, "hi")
    first = listed(engine, "m1", "hi")
    answer(engine, first)
    assert state(engine, one) == ("m1", "sent")
    two = sent(engine, "hi")
    answer(engine, first, listed(engine, "m2", "hi"))
    assert (state(engine, one), state(engine, two)) == (NOTHING, NOTHING)


def test_the_same_text_at_another_time_is_told_apart(engine: Engine) -> None:
    before = sent(engine, "hi")
    long_ago = engine.now().replace(microsecond=0) - timedelta(hours=1)
    text = f"'{long_ago:%Y-%m-%d %H:%M:%S}.000000'"
    engine.query(f"UPDATE outbox SET taken_at = {text}, completed_at = {text} WHERE id = {before}")
    first = message("m1", "hi", at=long_ago, sent=True, status="read")
    answer(engine, first)
    now = sent(engine, "hi")
    answer(engine, first, listed(engine, "m2", "hi"))
    assert (state(engine, before), state(engine, now)) == (("m1", "read"), ("m2", "sent"))


# A conversation


def conversation(engine: Engine, **options: Any) -> list[Entry]:
    return engine.outbox.conversation("whatsapp", "100", "1", **options)


def test_a_conversation_shows_both_directions_and_requests_not_listed_yet_in_order_of_time(engine: Engine) -> None:
    start = engine.now().replace(microsecond=0) - timedelta(hours=2)
    recognized = sent(engine, "Hello!")
    question = message("m1", "Who is it?", at=start, sent=False, status="received")
    answer(engine, question, listed(engine, "m2", "Hello!", status="read"))
    waiting = engine.send("1", "Are you there?")
    engine.send("2", "of another chat")
    engine.outbox.enqueue(Request("getmessages", CHAT))
    old, hello, open = conversation(engine)
    rows = [m["id"] for m in engine.outbox.rows_of("messages")]
    assert old == Entry(start, "default", False, "Who is it?", "received", "m1", None, rows[0])
    assert replace(hello, at=start) == Entry(start, "default", True, "Hello!", "read", "m2", recognized, rows[1])
    assert replace(open, at=start) == Entry(start, "default", True, "Are you there?", "queued", None, waiting, None)


def test_the_latest_of_a_conversation_are_returned_oldest_first(engine: Engine) -> None:
    start = engine.now().replace(microsecond=0) - timedelta(hours=2)
    rows = [message(f"m{n}", f"text {n}", at=start + timedelta(seconds=n // 2)) for n in range(6)]
    answer(engine, *rows)
    engine.send("1", "last")
    assert [e.message for e in conversation(engine)] == [*(f"text {n}" for n in range(6)), "last"]
    assert [e.message for e in conversation(engine, limit=3)] == ["text 4", "text 5", "last"]
    assert [e.message for e in conversation(engine, limit=2)] == ["text 5", "last"]


def test_a_message_without_a_time_stands_where_it_was_first_listed(engine: Engine) -> None:
    answer(engine, message("m1"))
    (row,) = engine.outbox.rows_of("messages")
    assert [e.at for e in conversation(engine)] == [row["seen_at"]]


def test_a_request_not_listed_stands_where_it_was_finished_or_else_queued(engine: Engine) -> None:
    id = engine.send()
    engine.query(f"UPDATE outbox SET created_at = '2020-01-01 00:00:00.000000' WHERE id = {id}")
    assert [e.at.year for e in conversation(engine)] == [2020]
    engine.hand_in(engine.take()[0])
    assert [e.at.year >= 2026 for e in conversation(engine)] == [True]


def test_failed_sends_are_shown_as_failed_and_files_by_their_url(engine: Engine) -> None:
    url = "https://example.com/a.png"
    engine.outbox.enqueue(Request("sendfile", {**CHAT, "type": "image", "fileurl": url}))
    engine.hand_in(engine.take()[0], "failed", error_code="INCORRECT_FILEURL")
    assert [(e.message, e.status) for e in conversation(engine)] == [(url, "failed")]


def test_a_cancelled_request_is_no_part_of_a_conversation(engine: Engine) -> None:
    engine.query(f"UPDATE outbox SET status = 'cancelled', turn = NULL WHERE id = {engine.send()}")
    assert conversation(engine) == []


def test_accounts_have_conversations_of_their_own_and_can_be_shown_together(engine: Engine) -> None:
    def of_shop(text: str) -> Claim:
        engine.outbox.enqueue(Request("getmessages", CHAT, account="shop"))
        (claim,) = engine.take()
        engine.receive(claim, "messages", [message("m1", text)])
        return claim

    answer(engine, message("m1", "default's"))
    of_shop("shop's")
    engine.send(message="shop sends", account="shop")
    assert sorted(str(e.message) for e in conversation(engine)) == ["default's", "shop sends", "shop's"]
    assert [e.message for e in conversation(engine, account="shop")] == ["shop's", "shop sends"]
    assert [e.message for e in conversation(engine, account="default")] == ["default's"]
    assert conversation(engine, account="nobody") == []
    assert len(conversation(engine, limit=1)) == 1


def test_a_conversation_of_requests_alone_is_shown_for_every_known_account(engine: Engine) -> None:
    engine.outbox.announce([Account(name) for name in ("shop", "shop-2", "shop 3")])
    for account in ("shop", "shop-2", "shop 3"):
        engine.send(message="hi", account=account)
    assert {e.account for e in conversation(engine)} == {"shop", "shop-2", "shop 3"}
    assert [e.account for e in conversation(engine, account="shop")] == ["shop"]


def test_times_of_a_conversation_are_in_utc(engine: Engine) -> None:
    engine.send()
    assert isinstance(conversation(engine)[0].at, datetime)
    assert conversation(engine)[0].at.utcoffset() == timedelta()


def test_answers_that_bring_the_same_messages_at_once_keep_them_once(engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", "1")
    (polled,) = engine.take()
    asked = ask(engine)
    rows = [message(f"m{n}", f"text {n}") for n in range(40)]
    kept: list[bool] = []
    threads = [
        threading.Thread(target=lambda c=claim: kept.append(engine.outbox.receive(c, "messages", rows)))
        for claim in (polled, asked)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert kept == [True, True]
    assert [m["messageid"] for m in engine.outbox.rows_of("messages")] == [row["messageid"] for row in rows]
