"""What every outbox promises; each test runs on each engine."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from afilsql.errors import InvalidParameter, RequestNotFound
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import STATUSES, Claim, Request
from tests.contract.conftest import Engine, result

CHAT = {"platform": "whatsapp", "platformid": "100", "destination": "1"}

TEXTS = {
    "emoji": "👩‍👩‍👧‍👦 🇪🇸 👍🏽",
    "right to left": "שלום עולم مرحبا \u202eabc",
    "beyond the base plane": "𠜎𠜱𝒳",
    "combining": "e\u0301 is not é",
    "lines": "one\r\ntwo\tthree\n",
    "a quote": 'it\'s "quoted" \\ back\\\\slash / \\n \\u0041',
    "sql": "'; DROP TABLE afil.outbox; --",
    "json": '{"id": 1, "kind": "sent"}]}',
    "template": "{order_id} {{x}} %s %(x)s ${x} :name ?",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_comes_back_as_it_went_in(engine: Engine, text: str) -> None:
    id = engine.send(message=text)
    (claim,) = engine.take()
    engine.hand_in(claim, "failed", error_code="X", detail=text, body=text)
    found = engine.outbox.get(id)
    assert claim.parameters["message"] == found.item.parameters["message"] == text
    assert (found.history[0].detail, found.answer) == (text, text)


def test_a_megabyte_comes_back_as_it_went_in(engine: Engine) -> None:
    text = "ñ" * 900_000 + "👍" * 50_000
    engine.send(message=text)
    (claim,) = engine.take()
    engine.hand_in(claim, body=text)
    assert claim.parameters["message"] == text
    assert engine.outbox.get(claim.id).answer == text


def test_a_new_request_is_stored_with_everything_that_was_asked(engine: Engine) -> None:
    send_at = engine.now().replace(microsecond=0) + timedelta(days=1)
    id = engine.send(account="shop", priority=2, send_at=send_at, dedup_key="k", max_attempts=3)
    item = engine.outbox.get(id).item
    assert (item.account, item.priority, item.dedup_key, item.max_attempts) == ("shop", 2, "k", 3)
    assert (item.status, item.due_at, item.attempts, item.completed_at) == ("scheduled", send_at, 0, None)
    assert (item.method, item.parameters) == ("sendmessage", {**CHAT, "message": "hi"})
    assert item.created_by
    assert engine.outbox.get(engine.send()).item.max_attempts == 8


def test_a_taken_row_is_sending_and_is_not_taken_again(engine: Engine) -> None:
    id = engine.send()
    (claim,) = engine.take()
    assert (claim.id, claim.attempt, claim.account, claim.max_attempts) == (id, 1, "default", 8)
    assert claim.request_id == engine.outbox.get(id).item.request_id
    assert engine.status(id) == "sending"
    assert engine.take() == []


def test_a_conversation_goes_in_order_one_at_a_time(engine: Engine) -> None:
    ids = [engine.send("1", str(n)) for n in range(4)]
    seen = []
    while claims := engine.take():
        assert len(claims) == 1
        seen.append(claims[0].id)
        engine.hand_in(claims[0])
    assert seen == ids


def test_priority_does_not_reorder_a_conversation(engine: Engine) -> None:
    first, second = engine.send(priority=9), engine.send(priority=0)
    (claim,) = engine.take()
    assert claim.id == first
    engine.hand_in(claim)
    assert engine.take_ids() == [second]


def test_conversations_go_side_by_side(engine: Engine) -> None:
    ids = [engine.send(str(n)) for n in range(5)]
    assert engine.take_ids() == ids


def test_the_same_chat_of_two_accounts_is_two_conversations(engine: Engine) -> None:
    ids = [engine.send(account="a"), engine.send(account="b")]
    assert engine.take_ids() == ids


def test_better_priority_goes_first_then_age(engine: Engine) -> None:
    low, high, middle, high_too = (engine.send(str(n), priority=p) for n, p in enumerate((9, 0, 5, 0)))
    assert engine.take_ids(3) == [high, high_too, middle]
    assert engine.take_ids() == [low]


def test_no_more_rows_are_taken_than_asked(engine: Engine) -> None:
    ids = [engine.send(str(n)) for n in range(5)]
    assert engine.take_ids(0) == []
    assert engine.take_ids(2) == ids[:2]
    assert engine.take_ids(2) == ids[2:4]


def test_a_long_conversation_does_not_keep_the_others_waiting(engine: Engine) -> None:
    giant = [Request("sendmessage", {**CHAT, "message": str(n)}, priority=0) for n in range(300)]
    first = engine.outbox.enqueue_many(giant)[0]
    others = [engine.send(f"other {n}") for n in range(5)]
    assert engine.take_ids(32) == [first, *others]


def test_a_future_row_is_not_taken_and_blocks_nothing(engine: Engine) -> None:
    later = engine.send(send_at=engine.now() + timedelta(hours=1))
    now = engine.send()
    exchanged = engine.outbox.exchange("w", take=10)
    assert [c.id for c in exchanged.claims] == [now]
    assert engine.status(later) == "scheduled"
    assert exchanged.next_due_in == pytest.approx(3600, abs=5)
    assert not engine.hand_in(exchanged.claims[0]).waiting


def test_a_future_row_is_taken_when_it_is_due(engine: Engine) -> None:
    id = engine.send(send_at=engine.now() + timedelta(seconds=4))
    assert engine.take() == []
    engine.later(4.2)
    assert engine.take_ids() == [id]


def test_a_time_in_the_past_is_now(engine: Engine) -> None:
    id = engine.send(send_at=engine.now() - timedelta(days=1))
    assert engine.take_ids() == [id]


def test_a_retry_blocks_its_conversation_until_it_is_done(engine: Engine) -> None:
    first, second = engine.send(), engine.send()
    (claim,) = engine.take()
    exchanged = engine.hand_in(claim, "retry", retry_in=4, error_code="CONNECT", http_status=503)
    assert exchanged.waiting
    item = engine.outbox.get(first).item
    assert (item.status, item.error_code, item.http_status) == ("scheduled", "CONNECT", 503)
    assert engine.take() == []
    engine.later(4.2)
    (claim,) = engine.take()
    assert (claim.id, claim.attempt) == (first, 2)
    engine.hand_in(claim)
    assert engine.take_ids() == [second]


def test_a_retry_at_once_is_taken_at_once(engine: Engine) -> None:
    engine.send()
    (claim,) = engine.take()
    engine.hand_in(claim, "retry", retry_in=0)
    assert [(c.id, c.attempt) for c in engine.take()] == [(claim.id, 2)]


@pytest.mark.parametrize("kind", ["sent", "failed", "uncertain"])
def test_a_finished_row_is_written_and_frees_its_conversation(engine: Engine, kind: str) -> None:
    first, second = engine.send(), engine.send()
    (claim,) = engine.take()
    engine.hand_in(claim, kind, http_status=200, error_code="CODE", duration_ms=12, detail="why", body="{}")
    found = engine.outbox.get(first)
    assert (found.item.status, found.item.error_code, found.item.http_status) == (kind, "CODE", 200)
    assert found.item.completed_at is not None
    (tried,) = found.history
    assert (tried.attempt, tried.duration_ms, tried.http_status, tried.error_code) == (1, 12, 200, "CODE")
    assert (tried.detail, tried.worker, found.answer) == ("why", "w", "{}")
    assert engine.take_ids() == [second]


def test_results_and_new_rows_travel_in_one_exchange(engine: Engine) -> None:
    first, second = engine.send(), engine.send()
    (claim,) = engine.take()
    exchanged = engine.outbox.exchange("w", results=[result(claim)], take=1)
    assert (engine.status(first), [c.id for c in exchanged.claims]) == ("sent", [second])


@pytest.mark.parametrize("wrong", ["lease_id", "attempt", "id"])
def test_a_result_without_the_lease_changes_nothing(engine: Engine, wrong: str) -> None:
    id = engine.send()
    (claim,) = engine.take()
    changed: Any = {"lease_id": uuid4(), "attempt": 2, "id": id + 1000}[wrong]
    exchanged = engine.hand_in(claim, **cast(Any, {wrong: changed}))
    assert exchanged.lost == [changed if wrong == "id" else id]
    assert (engine.status(id), engine.outbox.get(id).history) == ("sending", [])


def test_the_same_result_twice_changes_nothing_and_is_not_lost(engine: Engine) -> None:
    id = engine.send()
    (claim,) = engine.take()
    engine.hand_in(claim, body="first")
    assert engine.hand_in(claim, "failed", body="second").lost == []
    found = engine.outbox.get(id)
    assert (found.item.status, found.answer, len(found.history)) == ("sent", "first", 1)


def test_of_two_results_in_one_exchange_the_first_counts(engine: Engine) -> None:
    id = engine.send()
    (claim,) = engine.take()
    assert engine.outbox.exchange("w", results=[result(claim), result(claim, "failed")]).lost == []
    assert (engine.status(id), len(engine.outbox.get(id).history)) == ("sent", 1)


def test_the_last_answer_of_a_row_is_kept(engine: Engine) -> None:
    engine.send()
    engine.hand_in(engine.take()[0], "retry", body="first")
    engine.hand_in(engine.take()[0], body="second")
    assert engine.outbox.get(engine.outbox.items()[0].id).answer == "second"


def test_a_released_row_goes_back_uncounted_and_keeps_its_turn(engine: Engine) -> None:
    first, _ = engine.send(), engine.send()
    (claim,) = engine.take()
    assert engine.outbox.release("w", [claim]) == 1
    assert engine.outbox.release("w", [claim]) == 0
    assert engine.outbox.get(first).item.attempts == 0
    (claim,) = engine.take()
    engine.hand_in(claim, "release")
    assert [(c.id, c.attempt) for c in engine.take()] == [(first, 1)]
    assert engine.outbox.get(first).history == []


def test_a_refused_account_is_held_and_its_rows_wait_uncounted(engine: Engine) -> None:
    bad, also_bad, good = engine.send("1", account="bad"), engine.send("2", account="bad"), engine.send(account="good")
    claim = engine.take(1)[0]
    assert claim.id == bad
    engine.hand_in(claim, "hold", error_code="INCORRECT_USER_PASSWORD", detail="refused")
    item = engine.outbox.get(bad).item
    assert (item.status, item.attempts, engine.outbox.get(bad).history) == ("queued", 0, [])
    ((name, reason),) = engine.outbox.status().held
    assert (name, "INCORRECT_USER_PASSWORD" in reason, "refused" in reason) == ("bad", True, True)
    assert engine.take_ids() == [good]
    assert engine.outbox.release_account("bad")
    assert engine.take_ids() == [bad, also_bad]


def test_the_answer_that_held_an_account_gives_way_to_the_next(engine: Engine) -> None:
    id = engine.send(account="a")
    (claim,) = engine.take()
    engine.hand_in(claim, "hold", error_code="INCORRECT_USER_PASSWORD", detail="refused", body="refused")
    assert engine.outbox.release_account("a")
    (claim,) = engine.take()
    assert claim.attempt == 1  # the held try did not count
    engine.hand_in(claim, body="accepted")
    assert engine.outbox.get(id).answer == "accepted"


def test_rows_of_held_accounts_do_not_count_as_waiting(engine: Engine) -> None:
    engine.send(account="a")
    assert engine.outbox.exchange("w").waiting
    engine.outbox.hold_account("a", "new password on Monday")
    assert engine.outbox.status().held == [("a", "new password on Monday")]
    assert not engine.outbox.exchange("w").waiting


def test_an_account_that_is_not_held_cannot_be_released(outbox: Outbox) -> None:
    assert not outbox.release_account("never seen")
    outbox.hold_account("a", "why")
    assert outbox.release_account("a")
    assert not outbox.release_account("a")


def expired(engine: Engine) -> Claim:
    (claim,) = engine.take(lease_seconds=1)
    engine.later(1.2)
    return claim


def test_a_send_whose_lease_ran_out_is_uncertain(engine: Engine) -> None:
    first, second = engine.send(), engine.send()
    expired(engine)
    engine.outbox.exchange("other", on_unknown="hold")
    found = engine.outbox.get(first)
    assert (found.item.status, found.item.error_code) == ("uncertain", "LEASE_EXPIRED")
    assert [(t.attempt, t.error_code, t.worker) for t in found.history] == [(1, "LEASE_EXPIRED", "other")]
    assert engine.take_ids() == [second]


def test_a_send_whose_lease_ran_out_is_tried_again_where_so_set(engine: Engine) -> None:
    first, _ = engine.send(max_attempts=2), engine.send()
    late = expired(engine)
    (again,) = engine.take(on_unknown="retry", lease_seconds=1)
    assert (again.id, again.attempt) == (first, 2)
    assert engine.outbox.exchange("late", results=[result(late)], on_unknown="retry").lost == [first]
    engine.later(1.2)
    engine.outbox.exchange("w", on_unknown="retry")
    found = engine.outbox.get(first)
    assert (found.item.status, found.item.error_code) == ("uncertain", "LEASE_EXPIRED")
    assert [t.attempt for t in found.history] == [1, 2]


def test_a_get_method_whose_lease_ran_out_is_asked_again(engine: Engine) -> None:
    id = engine.outbox.enqueue(Request("getmessages", CHAT))
    expired(engine)
    assert [(c.id, c.attempt) for c in engine.take(on_unknown="hold")] == [(id, 2)]


def test_a_lease_that_ran_out_unnoticed_still_counts(engine: Engine) -> None:
    id = engine.send()
    assert engine.hand_in(expired(engine)).lost == []
    assert engine.status(id) == "sent"


def test_a_renewed_lease_does_not_run_out(engine: Engine) -> None:
    id = engine.send()
    (claim,) = engine.take(lease_seconds=1)
    engine.outbox.exchange("w", renew=[claim.lease_id], lease_seconds=60)
    engine.later(1.2)
    engine.outbox.exchange("other")
    assert engine.status(id) == "sending"


def test_a_known_key_gives_the_first_id_and_writes_nothing(engine: Engine) -> None:
    first = engine.send(dedup_key="order 1")
    assert engine.send("2", "another", dedup_key="order 1") == first
    assert engine.send(dedup_key="order 1", account="b") != first
    many = [Request("getchatchannels", dedup_key=key) for key in ("order 1", "x", "x")]
    ids = engine.outbox.enqueue_many(many)
    assert (ids[0], ids[1]) == (first, ids[2])
    assert len(engine.outbox.items()) == 3


def test_many_requests_get_their_ids_in_order(outbox: Outbox) -> None:
    ids = outbox.enqueue_many([Request("sendmessage", {**CHAT, "message": str(n)}) for n in range(50)])
    assert [outbox.get(id).item.parameters["message"] for id in ids[:3]] == ["0", "1", "2"]
    assert ids == sorted(set(ids))
    assert outbox.enqueue_many([]) == []


def test_one_bad_request_of_many_keeps_all_out(outbox: Outbox) -> None:
    with pytest.raises(InvalidParameter, match=r"^request 2: .*platform"):
        outbox.enqueue_many([Request("getchatchannels"), Request("sendmessage", {}), Request("nonsense")])
    assert outbox.items() == []


@pytest.mark.parametrize(
    "request_",
    [
        Request("nonsense"),
        Request("sendmessage", {**CHAT}),
        Request("sendmessage", {**CHAT, "message": "x", "platform": "fax"}),
        Request("getchatchannels", account=""),
        Request("getchatchannels", priority=10),
        Request("getchatchannels", dedup_key="k" * 201),
        Request("getchatchannels", max_attempts=0),
    ],
    ids=["method", "missing", "value", "account", "priority", "dedup_key", "max_attempts"],
)
def test_a_bad_request_is_refused(outbox: Outbox, request_: Request) -> None:
    with pytest.raises(InvalidParameter):
        outbox.enqueue(request_)
    assert outbox.items() == []


def test_more_rows_than_500_are_refused(outbox: Outbox) -> None:
    with pytest.raises(InvalidParameter, match="take"):
        outbox.exchange("w", take=501)


def message(id: str | None, text: str, **changed: object) -> dict[str, object]:
    row = {"platform": "whatsapp", "platformid": "100", "destination": "1", "messageid": id, "message": text}
    return row | {"sent": True, "status": "read", "datetime": "2026-01-01 10:00:00"} | changed


LISTS: dict[str, tuple[str, dict[str, str], dict[str, object]]] = {
    "channels": ("getchatchannels", {}, {"platform": "whatsapp", "platformid": "100", "name": "Shop 👍"}),
    "chats": ("getchats", {"platform": "whatsapp", "platformid": "100"}, message("m1", 'it\'s "so" \\ here')),
    "messages": ("getmessages", CHAT, message("m1", "línea\none")),
}


def bring(engine: Engine, kind: str, rows: list[dict[str, object]], account: str = "default") -> None:
    method, parameters, _ = LISTS[kind]
    engine.outbox.enqueue(Request(method, parameters, account=account))
    (claim,) = engine.take()
    engine.receive(claim, kind, rows, body=json.dumps({"status": "SUCCESS", "result": {"list": rows}}))


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_is_kept_as_rows_once(engine: Engine, kind: str) -> None:
    row = LISTS[kind][2]
    bring(engine, kind, [row])
    bring(engine, kind, [row, row])
    (found,) = engine.outbox.rows_of(kind)
    assert found["account"] == "default"
    assert {k: found[k] for k in row} == row
    assert found["updated_at"].utcoffset() == timedelta()


def test_a_row_of_a_list_takes_its_newest_values(engine: Engine) -> None:
    bring(engine, "messages", [message("m1", "hi", status="sent", sent=False)])
    bring(engine, "messages", [message("m1", "hi", status="read"), message("m2", "ho")])
    assert [(m["messageid"], m["status"], m["sent"]) for m in engine.outbox.rows_of("messages")] == [
        ("m1", "read", True),
        ("m2", "read", True),
    ]


def test_messages_without_an_id_are_kept_once(engine: Engine) -> None:
    rows = [message(None, "hi"), message(None, "ho"), message(None, "hi", datetime=None)]
    bring(engine, "messages", rows)
    bring(engine, "messages", rows)
    assert sorted(m["message"] for m in engine.outbox.rows_of("messages")) == ["hi", "hi", "ho"]


def test_messages_that_lack_fields_are_kept_once(engine: Engine) -> None:
    row = message(None, "hi", destination=None, platform=None, sent=None, status=None, datetime=None)
    bring(engine, "messages", [row])
    bring(engine, "messages", [row])
    assert [m["message"] for m in engine.outbox.rows_of("messages")] == ["hi"]


def test_values_too_long_for_their_columns_are_cut(engine: Engine) -> None:
    bring(engine, "messages", [message("m" * 300, "hi", status="s" * 300, datetime="d" * 300)])
    (found,) = engine.outbox.rows_of("messages")
    assert [len(found[k]) for k in ("messageid", "status", "datetime")] == [100, 50, 50]
    engine.send("9")
    (claim,) = engine.take()
    engine.hand_in(claim, "failed", error_code="E" * 300, detail="d" * 900)
    detail = engine.outbox.get(claim.id)
    assert (len(detail.item.error_code or ""), len(detail.history[0].detail or "")) == (100, 400)


def test_lists_are_told_apart_by_account_and_limited(engine: Engine) -> None:
    bring(engine, "messages", [message("m1", "a"), message("m2", "b")])
    bring(engine, "messages", [message("m1", "c")], account="shop")
    assert [m["message"] for m in engine.outbox.rows_of("messages", account="shop")] == ["c"]
    assert len(engine.outbox.rows_of("messages", limit=2)) == 2
    with pytest.raises(InvalidParameter):
        engine.outbox.rows_of("nonsense")


@pytest.mark.parametrize("id", [0, -1, 123456789])
def test_an_unknown_id_is_not_found(outbox: Outbox, id: int) -> None:
    with pytest.raises(RequestNotFound):
        outbox.get(id)


def test_a_failed_row_is_requeued_with_fresh_tries(engine: Engine) -> None:
    id, unfinished = engine.send(max_attempts=1), engine.send("2")
    claim = engine.take(1)[0]
    engine.hand_in(claim, "failed", error_code="CHANNEL_NOT_FOUND", http_status=200)
    assert engine.outbox.requeue([id, id, unfinished, 99999]) == 1
    item = engine.outbox.get(id).item
    assert (item.status, item.error_code, item.http_status, item.completed_at) == ("queued", None, None, None)
    assert (item.attempts, item.max_attempts) == (1, 9)
    assert (id, 2) in [(c.id, c.attempt) for c in engine.take()]


def test_items_come_newest_first_by_status(engine: Engine) -> None:
    ids = [engine.send(str(n)) for n in range(4)]
    engine.hand_in(engine.take(1)[0])
    assert [i.id for i in engine.outbox.items()] == ids[::-1]
    assert [i.id for i in engine.outbox.items(limit=2)] == [ids[3], ids[2]]
    assert [i.id for i in engine.outbox.items(status="sent")] == [ids[0]]
    assert engine.outbox.items(status="cancelled") == []


def test_the_status_names_every_state_and_the_workers(engine: Engine) -> None:
    empty = engine.outbox.status()
    assert dict(empty.counts) == dict.fromkeys(STATUSES, 0)
    assert (empty.oldest_waiting_seconds, list(empty.held), list(empty.workers)) == (None, [], [])
    engine.send("1")
    engine.send("2", send_at=engine.now() + timedelta(days=1))
    engine.outbox.exchange("first")
    engine.later(0.05)
    engine.outbox.exchange("second")
    now = engine.outbox.status()
    assert (now.counts["queued"], now.counts["scheduled"], now.counts["sent"]) == (1, 1, 0)
    assert now.oldest_waiting_seconds is not None
    assert 0 <= now.oldest_waiting_seconds < 60
    assert [name for name, _ in now.workers] == ["second", "first"]


def test_nothing_waits_in_an_empty_outbox(outbox: Outbox) -> None:
    exchanged = outbox.exchange("w", take=5)
    assert (list(exchanged.claims), exchanged.waiting, exchanged.next_due_in) == ([], False, None)


def test_a_row_in_flight_counts_as_waiting(engine: Engine) -> None:
    engine.send()
    (claim,) = engine.take()
    assert engine.outbox.exchange("w").waiting
    assert not engine.hand_in(claim).waiting


def test_two_workers_never_take_the_same_row(engine: Engine) -> None:
    requests = [Request("sendmessage", {**CHAT, "destination": str(n % 100), "message": "x"}) for n in range(200)]
    ids = engine.outbox.enqueue_many(requests)
    taken: Counter[int] = Counter()
    faults: list[BaseException] = []

    def work(outbox: Outbox, name: str) -> None:
        try:
            results: list[Claim] = []
            while True:
                exchanged = outbox.exchange(name, results=[result(c) for c in results], take=10)
                assert exchanged.lost == []
                results = list(exchanged.claims)
                taken.update(c.id for c in results)
                if not results and not exchanged.waiting:
                    return
        except BaseException as e:
            faults.append(e)

    threads = [threading.Thread(target=work, args=(engine.again(), name)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    assert (set(taken), set(taken.values())) == (set(ids), {1})
    assert engine.outbox.status().counts["sent"] == 200


def test_nothing_is_purged_while_the_retention_settings_keep_everything(engine: Engine) -> None:
    id = engine.send()
    engine.hand_in(engine.take()[0])
    assert not engine.outbox.apply_retention()
    assert engine.status(id) == "sent"
