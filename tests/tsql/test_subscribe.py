"""afil.subscribe, afil.unsubscribe and the polls that afil.exchange makes of subscriptions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.tsql.conftest import DriverError
from tests.tsql.rows import add, events, hand_in, take

pytestmark = pytest.mark.tsql

CHANNEL = "@platform = N'whatsapp', @platformid = N'100'"


def subscribe(query: Any, more: str = "", channel: str = CHANNEL) -> None:
    query(f"EXEC afil.subscribe {channel}{more}")


def asked(query: Any) -> list[tuple[str, str | None]]:
    """Take what is due and answer it with an empty list; (method, destination) of each."""
    rows = take(query)
    hand_in(query, rows)
    return [(r.method, r.destination) for r in rows]


def listed(query: Any, row: Any, destinations: list[str], message: str = "Hi") -> None:
    """Answer a poll of a channel with these chats."""
    chats = [{"platform": "whatsapp", "platformid": "100", "destination": d, "message": message} for d in destinations]
    sql = "EXEC afil.receive @id = ?, @lease_id = ?, @attempt = ?, @list = 'chats', @rows = ?"
    query(sql, row.id, str(row.lease_id), row.attempts, json.dumps(chats))
    hand_in(query, [row])


def due(query: Any) -> None:
    query("UPDATE afil.subscription SET due_at = '2026-01-01'")


def subscription(query: Any) -> Any:
    return query("SELECT * FROM afil.subscriptions")[0]


def test_a_subscription_is_asked_for_at_once_and_again_after_its_interval(query: Any) -> None:
    subscribe(query, ", @every_seconds = 60")
    assert asked(query) == [("getchats", None)]
    assert asked(query) == []
    query("UPDATE afil.subscription SET due_at = DATEADD(SECOND, -60, due_at)")
    assert asked(query) == [("getchats", None)]


def test_one_chat_is_asked_for_its_messages_and_with_unread_only_for_the_unread_ones(query: Any) -> None:
    subscribe(query, ", @destination = N'346'")
    subscribe(query, ", @destination = N'347', @unread_only = 1")
    assert asked(query) == [("getmessages", "346"), ("getunreadmessages", "347")]


def test_subscribing_again_changes_the_interval_and_nothing_else(query: Any) -> None:
    ids = [
        query(f"DECLARE @id BIGINT; EXEC afil.subscribe {CHANNEL}, @every_seconds = {s}, @id = @id OUTPUT; SELECT @id;")
        for s in (30, 90)
    ]
    assert ids[0][0][0] == ids[1][0][0]
    found = query("SELECT every_seconds, destination FROM afil.subscriptions")
    assert [tuple(r) for r in found] == [(90, None)]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ("@platform = N'fax', @platformid = N'100'", "@platform 'fax'"),
        ("@platform = N'whatsapp', @platformid = N''", "@platformid is missing"),
        (CHANNEL + ", @every_seconds = 4", "@every_seconds"),
        (CHANNEL + ", @every_seconds = 86401", "@every_seconds"),
        (CHANNEL + ", @every_seconds = NULL", "@every_seconds"),
        (CHANNEL + ", @account = N''", "@account"),
        (CHANNEL + ", @destination = N'" + "3" * 201 + "'", "@destination is 201"),
    ],
)
def test_what_cannot_be_subscribed_to_is_refused_by_name(query: Any, parameters: str, named: str) -> None:
    with pytest.raises(DriverError, match=named):
        subscribe(query, channel=parameters)
    assert query("SELECT * FROM afil.subscriptions") == []


def test_only_chats_that_changed_are_asked_for_their_messages(query: Any) -> None:
    subscribe(query)
    listed(query, take(query)[0], ["346", "347"])
    assert sorted(asked(query)) == [("getmessages", "346"), ("getmessages", "347")]
    due(query)
    listed(query, take(query)[0], ["346", "347", "348"])
    assert asked(query) == [("getmessages", "348")]
    due(query)
    listed(query, take(query)[0], ["347"], message="Hi again")
    assert asked(query) == [("getmessages", "347")]


def test_chats_of_an_unsubscribed_channel_are_not_asked_for(query: Any) -> None:
    id = add(query, "queued", method="getchats", message=None, destination=None)
    row = take(query)[0]
    assert row.id == id
    listed(query, row, ["346"])
    assert asked(query) == []


def test_finished_polls_leave_nothing_in_the_outbox(query: Any) -> None:
    subscribe(query)
    listed(query, take(query)[0], ["346"])
    asked(query)
    take(query)
    for table in ("outbox", "attempt", "response"):
        assert query(f"SELECT * FROM afil.{table}") == []


def test_a_poll_waits_behind_every_send_and_holds_none_up(query: Any) -> None:
    subscribe(query, ", @destination = N'346'")
    key = "\x1f".join(("default", "whatsapp", "100", "346"))
    sends = [add(query, priority=9, conversation=key) for _ in range(2)]
    first = take(query, 1)
    assert [r.id for r in first] == sends[:1]
    poll = take(query)
    assert [r.method for r in poll] == ["getmessages"]
    hand_in(query, first)
    assert [r.id for r in take(query)] == sends[1:]


def test_one_poll_of_a_conversation_is_under_way_at_a_time(query: Any) -> None:
    subscribe(query)
    polls = take(query)
    due(query)
    assert take(query) == []
    hand_in(query, polls)
    assert asked(query) == [("getchats", None)]


def test_an_account_keeps_to_its_budget_and_another_has_its_own(query: Any) -> None:
    query("UPDATE afil.setting SET value = N'8' WHERE name = 'inbound_per_minute'")
    for destination in range(5):
        subscribe(query, f", @destination = N'{destination}'")
    subscribe(query, ", @account = N'shop'")
    assert len(asked(query)) == 3
    assert len(asked(query)) == 0
    query("UPDATE afil.account SET poll_tokens_at = DATEADD(SECOND, -10, poll_tokens_at)")
    assert len(asked(query)) == 1
    query("UPDATE afil.account SET poll_tokens_at = DATEADD(DAY, -10, poll_tokens_at)")
    assert len(asked(query)) == 2


def test_four_polls_of_an_account_are_under_way_at_a_time(query: Any) -> None:
    for destination in range(6):
        subscribe(query, f", @destination = N'{destination}'")
    subscribe(query, ", @account = N'shop'")
    first = take(query)
    assert sorted(r.account for r in first) == ["default"] * 4 + ["shop"]
    assert take(query) == []
    hand_in(query, first[:1])
    assert len(take(query)) == 1


def test_with_a_budget_of_0_nothing_is_asked_for(query: Any) -> None:
    query("UPDATE afil.setting SET value = N'0' WHERE name = 'inbound_per_minute'")
    subscribe(query)
    assert take(query) == []


@pytest.mark.parametrize("column", ["held_at", "tripped_at"])
def test_a_closed_account_is_not_asked_for(query: Any, column: str) -> None:
    query(f"INSERT INTO afil.account (name, {column}) VALUES (N'default', SYSUTCDATETIME())")
    subscribe(query)
    take(query)
    assert query("SELECT * FROM afil.outbox") == []


def test_nothing_is_asked_for_while_all_is_paused(query: Any) -> None:
    subscribe(query)
    query("EXEC afil.pause")
    try:
        take(query)
        assert query("SELECT * FROM afil.outbox") == []
    finally:
        query("EXEC afil.resume")


def test_a_poll_that_fails_is_tried_again_after_longer_and_longer_and_logged_once(query: Any) -> None:
    subscribe(query, ", @every_seconds = 10")
    waits = []
    for _ in range(10):
        hand_in(query, take(query), "failed", error_code="CHANNEL_NOT_FOUND")
        take(query)
        waits.append(query("SELECT DATEDIFF(SECOND, SYSUTCDATETIME(), due_at) AS s FROM afil.subscription")[0].s)
        due(query)
    assert [round(w / 10) for w in waits[:8]] == [2, 4, 8, 16, 32, 64, 128, 256]
    assert all(3590 <= w <= 3600 for w in waits[8:])
    found = subscription(query)
    assert (found.failures, found.error_code, found.last_at) == (10, "CHANNEL_NOT_FOUND", None)
    assert [e for e in events(query) if e[0] == "poll_failed"] == [
        ("poll_failed", "default whatsapp 100: CHANNEL_NOT_FOUND")
    ]
    hand_in(query, take(query))
    take(query)
    found = subscription(query)
    assert (found.failures, found.error_code, found.last_at is not None) == (0, None, True)


@pytest.mark.parametrize(("code", "again"), [("HTTP_503", True), ("CHAT_NOT_FOUND", False)])
def test_a_chat_whose_messages_could_not_be_read_is_asked_for_later_unless_it_is_gone(
    query: Any, code: str, again: bool
) -> None:
    subscribe(query)
    listed(query, take(query)[0], ["346"])
    hand_in(query, take(query), "failed", error_code=code)
    assert take(query) == []
    seconds = query("SELECT DATEDIFF(SECOND, SYSUTCDATETIME(), poll_at) AS s FROM afil.chat")[0].s
    assert (55 <= seconds <= 60) if again else (seconds is None)
    query("UPDATE afil.chat SET poll_at = '2026-01-01' WHERE poll_at IS NOT NULL")
    assert asked(query) == ([("getmessages", "346")] if again else [])


def test_what_was_there_before_the_first_look_is_not_new_and_what_comes_later_is(query: Any) -> None:
    def message(row: Any, id: str) -> None:
        body = {"platform": "whatsapp", "platformid": "100", "destination": row.destination, "message": id}
        sql = "EXEC afil.receive @id = ?, @lease_id = ?, @attempt = ?, @list = 'messages', @rows = ?"
        query(sql, row.id, str(row.lease_id), row.attempts, json.dumps([body | {"messageid": id}]))
        hand_in(query, [row])

    subscribe(query)
    listed(query, take(query)[0], ["old"])
    message(take(query)[0], "old-1")
    due(query)
    listed(query, take(query)[0], ["old", "late"], message="more")
    for row in take(query):
        message(row, f"{row.destination}-2")
    subscribe(query, ", @destination = N'one'")
    poll = next(r for r in take(query) if r.destination == "one")
    hand_in(query, [poll])  # nothing in it yet
    due(query)
    message(next(r for r in take(query) if r.destination == "one"), "one-1")
    found = query("SELECT message, is_new FROM afil.chat_messages ORDER BY message")
    assert [tuple(r) for r in found] == [("late-2", True), ("old-1", False), ("old-2", True), ("one-1", True)]


def test_unsubscribing_ends_it_and_drops_what_waits(query: Any) -> None:
    subscribe(query)
    listed(query, take(query)[0], ["346", "347"])
    flying = take(query, 1)
    assert query(f"EXEC afil.unsubscribe {CHANNEL}")[0].ended
    assert not query(f"EXEC afil.unsubscribe {CHANNEL}")[0].ended
    hand_in(query, flying)
    assert take(query) == []
    assert query("SELECT * FROM afil.outbox WHERE completed_at IS NULL") == []
    assert [r.destination for r in query("SELECT destination FROM afil.chats ORDER BY destination")] == ["346", "347"]


def test_a_conversation_is_shown_in_the_order_of_time_with_what_is_not_listed_yet(query: Any) -> None:
    key = "\x1f".join(("default", "whatsapp", "100", "346"))
    id = add(query, "sent", message="Your order left.", conversation=key, taken_at="2026-05-01T10:00:00")
    query("UPDATE afil.outbox SET completed_at = '2026-05-01T10:00:01' WHERE id = ?", id)
    add(query, "cancelled", message="Never mind.", conversation=key)
    waiting = add(query, message="Anything else?", conversation=key)
    add(query, message="Elsewhere", conversation=key + "7", destination="3467")
    row = add(query, "sending", method="getmessages", message=None, lease_id="11111111-2222-3333-4444-555555555555")
    messages = [
        {"platform": "whatsapp", "platformid": "100", "destination": "346", **m}
        for m in (
            {"messageid": "b", "sent": 1, "message": "Your order left.", "status": "read",
             "dated_at": "2026-05-01T10:00:00"},
            {"messageid": "c", "sent": 0, "message": "Thanks", "status": "received", "dated_at": "2026-05-01T10:05:00"},
            {"messageid": "a", "sent": 0, "message": "Where is it?", "dated_at": "2026-05-01T09:00:00"},
        )
    ]  # fmt: skip
    query(
        "EXEC afil.receive @id = ?, @lease_id = '11111111-2222-3333-4444-555555555555', @attempt = 1, "
        "@list = 'messages', @rows = ?",
        row,
        json.dumps(messages),
    )
    found = query("SELECT * FROM afil.conversation(N'whatsapp', N'100', N'346') ORDER BY place")
    assert [(r.place, r.sent, r.message, r.status, r.messageid, r.id) for r in found] == [
        (1, False, "Where is it?", None, "a", None),
        (2, True, "Your order left.", "read", "b", id),
        (3, False, "Thanks", "received", "c", None),
        (4, True, "Anything else?", "queued", None, waiting),
    ]
