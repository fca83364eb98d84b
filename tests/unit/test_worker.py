"""The worker's promises, against an outbox in a list and clients that do as told."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, cast

import pytest

from afilsql.api.client import AfilnetClient
from afilsql.api.reply import Chat, Reply
from afilsql.delivery import events
from afilsql.delivery.caller import ReadBackSettings
from afilsql.delivery.limits import Breaker, Rate
from afilsql.delivery.terms import Terms
from afilsql.delivery.worker import Totals, Worker
from afilsql.errors import (
    ConfigError,
    CredentialsRefused,
    DatabaseError,
    DatabaseUnavailable,
    DeliveryUnknown,
    NotSent,
    Refused,
    SchemaOutOfDate,
)
from afilsql.outbox.records import Account, Result
from tests.patience import PATIENCE
from tests.unit.fake_outbox import FakeOutbox

OK = Reply("sendmessage", 200, (), '{"status":"SUCCESS"}')


class Client:
    """Answers each call by `behave(number of the call, from 1)` and counts the calls that run side by side."""

    def __init__(self, behave: Callable[[int], Reply] = lambda n: OK) -> None:
        self.behave = behave
        self.calls = self.running = self.most = 0
        self._lock = threading.Lock()

    def call(self, method: str, parameters: Mapping[str, str | None], *, send_by: float = math.inf) -> Reply:
        with self._lock:
            self.calls += 1
            number = self.calls
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            return self.behave(number)
        finally:
            with self._lock:
                self.running -= 1


class Watched:
    """A worker with short times, and what it told."""

    def __init__(self, outbox: FakeOutbox, client: Client | Callable[[str], Any] | None = None, **changed: Any) -> None:
        client = client or Client()
        self.events: list[events.Event] = []
        client_for = (lambda account: client) if isinstance(client, Client) else client
        settings: dict[str, Any] = {
            "name": "w",
            "concurrency": 4,
            "random": lambda: 0.0,
            "on_event": self.events.append,
        } | changed
        self.worker = Worker(cast(Any, outbox), cast(Callable[[str], AfilnetClient], client_for), **settings)

    def told(self, kind: type[events.Event]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]

    @contextmanager
    def running(self, **how: Any) -> Iterator[Future[Totals]]:
        future: Future[Totals] = Future()

        def run() -> None:
            try:
                future.set_result(self.worker.run(**how))
            except BaseException as error:
                future.set_exception(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield future
        finally:
            self.worker.stop()
            thread.join(PATIENCE)
            assert not thread.is_alive()


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.002)


def raising(error: Exception) -> Callable[[int], Reply]:
    def behave(number: int) -> Reply:
        raise error

    return behave


def after(go: threading.Event) -> Callable[[int], Reply]:
    def behave(number: int) -> Reply:
        go.wait(PATIENCE)
        return OK

    return behave


def taking(seconds: float) -> Callable[[int], Reply]:
    def behave(number: int) -> Reply:
        time.sleep(seconds * (number % 3))
        return OK

    return behave


def test_every_row_is_delivered_and_the_drained_worker_ends() -> None:
    outbox = FakeOutbox(50)
    assert Watched(outbox).worker.run(until="drained") == Totals(sent=50)
    assert sorted(r.id for r in outbox.results) == list(range(1, 51))
    assert {(r.kind, r.http_status, r.error_code) for r in outbox.results} == {("sent", 200, None)}


def test_a_drained_worker_ends_at_once_where_nothing_waits() -> None:
    assert Watched(FakeOutbox()).worker.run(until="drained") == Totals()


def test_once_delivers_the_rows_of_one_exchange() -> None:
    outbox = FakeOutbox(10)
    assert Watched(outbox).worker.run(until="once").sent == 4
    assert len(outbox.queue) == 6


def test_as_many_rows_again_as_there_are_senders_are_taken_ahead_at_most() -> None:
    outbox, client = FakeOutbox(60), Client(taking(0.002))
    Watched(outbox, client).worker.run(until="drained")
    assert 4 < outbox.most_leased <= 8
    assert client.most <= 4


def test_nothing_is_taken_ahead_where_each_unknown_row_is_left_to_a_person() -> None:
    outbox, client = FakeOutbox(60), Client(taking(0.002))
    Watched(outbox, client, on_unknown="hold").worker.run(until="drained")
    assert outbox.most_leased == 4
    assert client.most <= 4


def test_senders_go_on_while_results_are_handed_in() -> None:
    outbox, client = FakeOutbox(200), Client(taking(0.005))

    def until_all_that_was_taken_has_begun(_results: Sequence[Result]) -> None:
        taken = len(outbox.results) + len(outbox.leased)
        wait_for(lambda: client.calls == taken)

    outbox.fail = until_all_that_was_taken_has_begun
    Watched(outbox, client).worker.run(until="drained")
    assert outbox.most_leased > 4
    assert len(outbox.results) == 200


def test_results_travel_together_so_that_exchanges_are_few() -> None:
    outbox = FakeOutbox(64)
    Watched(outbox, Client(taking(0.003)), concurrency=16).worker.run(until="drained")
    assert len(outbox.exchanges) <= 40


def test_one_rows_error_does_not_stop_the_others() -> None:
    def behave(number: int) -> Reply:
        errors: dict[int, Exception] = {
            1: Refused("no", status=200, code="CHAT_NOT_FOUND", body="{}"),
            2: DeliveryUnknown(code="TIMEOUT"),
            3: NotSent(code="CONNECT", retry_after=7),
            4: RuntimeError("secret"),
        }
        if number in errors:
            raise errors[number]
        return OK

    outbox = FakeOutbox(9)
    totals = Watched(outbox, Client(behave), concurrency=1, on_unknown="hold").worker.run(until="drained")
    assert totals == Totals(sent=5, failed=1, uncertain=2, retried=1)
    refused, unknown, retried, defect = outbox.results[:4]
    assert (refused.error_code, refused.http_status, refused.body) == ("CHAT_NOT_FOUND", 200, "{}")
    assert unknown.error_code == "TIMEOUT"
    assert retried.retry_in == 7
    assert defect.error_code == "INTERNAL"
    assert "secret" not in str(defect)


@pytest.mark.parametrize(("on_unknown", "left"), [("hold", 3), ("reconcile", 0)])
def test_a_send_to_be_read_back_is_not_counted_as_left_to_a_person(on_unknown: str, left: int) -> None:
    outbox = FakeOutbox(3)
    watched = Watched(outbox, Client(raising(DeliveryUnknown("slow", code="TIMEOUT"))), on_unknown=on_unknown)
    assert watched.worker.run(until="drained").uncertain == left
    assert {(r.kind, r.look_in is None) for r in outbox.results} == {("uncertain", on_unknown == "hold")}


LISTED = Reply("getchats", 200, (Chat("100", "whatsapp", "hi", "346", "1", False, "received", None),), "[]")


def test_the_list_of_an_answer_is_kept_before_its_result_is_handed_in() -> None:
    outbox = FakeOutbox(1, method="getchats")
    before: list[int] = []
    outbox.refuse = lambda claim: before.append(len(outbox.results)) or False  # type: ignore[func-returns-value]
    assert Watched(outbox, Client(lambda n: LISTED)).worker.run(until="drained") == Totals(sent=1)
    ((id, kind, (row,)),) = outbox.received
    assert (id, kind, row["message"], row["dated_at"]) == (1, "chats", "hi", None)
    assert before == [0]


def test_an_answer_of_no_known_shape_fails_its_row_alone() -> None:
    outbox = FakeOutbox(1, method="getchats")
    Watched(outbox, Client(lambda n: cast(Reply, object()))).worker.run(until="drained")
    assert (outbox.results[0].kind, outbox.results[0].error_code) == ("failed", "INTERNAL")
    assert outbox.received == []


def test_a_list_whose_lease_was_lost_is_dropped_with_its_result() -> None:
    outbox = FakeOutbox(3, method="getchats")
    outbox.refuse = lambda claim: claim.id == 2
    watched = Watched(outbox, Client(lambda n: LISTED))
    with watched.running() as future:
        wait_for(lambda: len(outbox.results) == 2 and watched.told(events.LeaseLost))
        watched.worker.stop()
        assert future.result(3) == Totals(sent=2, lost=1)
    assert watched.told(events.LeaseLost) == [events.LeaseLost(2)]
    assert sorted(r.id for r in outbox.results) == [1, 3]
    assert list(outbox.leased) == [2], "nothing is handed in for it"


def test_a_list_that_is_slow_to_keep_holds_up_no_send() -> None:
    outbox, go = FakeOutbox(1, method="getchats"), threading.Event()
    outbox.refuse = lambda claim: not go.wait(PATIENCE)
    watched = Watched(outbox, Client(lambda n: LISTED if n == 1 else OK), concurrency=2)
    with watched.running() as future:
        wait_for(lambda: outbox.leased)
        for _ in range(20):
            outbox.add()
        wait_for(lambda: len(outbox.results) == 20)
        assert outbox.received == []
        go.set()
        wait_for(lambda: outbox.received)
        watched.worker.stop()
        assert future.result(3) == Totals(sent=21)


def test_what_a_subscription_asked_is_told_apart() -> None:
    outbox = FakeOutbox()
    outbox.add(method="getchats", poll=True)
    outbox.add()
    watched = Watched(outbox, Client(lambda n: LISTED))
    watched.worker.run(until="drained")
    assert {(e.id, e.poll) for e in watched.told(events.Delivered)} == {(1, True), (2, False)}


def test_an_account_with_refused_credentials_is_held_and_the_others_go_on() -> None:
    outbox = FakeOutbox(3)
    outbox.add(account="bad")
    outbox.add(account="unknown")
    bad = Client(raising(CredentialsRefused("wrong", code="INCORRECT_USER_PASSWORD")))

    def client_for(account: str) -> Any:
        if account == "unknown":
            raise ConfigError("no account 'unknown'")
        return bad if account == "bad" else Client()

    watched = Watched(outbox, client_for)
    assert watched.worker.run(until="drained") == Totals(sent=3, held=2)
    assert outbox.held == {"bad", "unknown"}
    assert {(e.account, e.code) for e in watched.told(events.AccountHeld)} == {
        ("bad", "INCORRECT_USER_PASSWORD"),
        ("unknown", "ACCOUNT_NOT_CONFIGURED"),
    }


def test_an_outage_keeps_the_results_and_hands_them_in_once() -> None:
    outbox, client = FakeOutbox(4), Client()
    handed: list[int] = []

    def fail(results: Sequence[Result]) -> None:
        if results and len(handed) < 2:
            handed.append(len(results))
            raise DatabaseUnavailable("the server is away")

    outbox.fail = fail
    watched = Watched(outbox, client)
    assert watched.worker.run(until="drained") == Totals(sent=4)
    assert client.calls == 4
    assert sorted(r.id for r in outbox.results) == [1, 2, 3, 4]
    assert len(watched.told(events.DatabaseLost)) == len(watched.told(events.DatabaseBack)) == 1


def test_a_result_whose_exchange_lost_its_answer_is_handed_in_again() -> None:
    outbox = FakeOutbox(1)
    lost: list[int] = []

    def fail_after(results: Sequence[Result]) -> None:
        if results and not lost:
            lost.append(1)
            raise DatabaseUnavailable("broke after the commit")

    outbox.fail_after = fail_after
    assert Watched(outbox).worker.run(until="drained").sent == 1
    assert [r.id for r in outbox.results] == [1]


def test_a_database_that_refuses_from_the_start_ends_the_worker() -> None:
    outbox = FakeOutbox(1)

    def fail(results: Sequence[Result]) -> None:
        raise SchemaOutOfDate()

    outbox.fail = fail
    with pytest.raises(SchemaOutOfDate):
        Watched(outbox).worker.run()


def test_the_accounts_are_made_known_once_before_anything_is_taken() -> None:
    outbox, accounts = FakeOutbox(rows=9), [Account("default"), Account("shop", ("telegram",))]
    Watched(outbox, accounts=accounts).worker.run(until="drained")
    assert (outbox.known, len(outbox.results)) == (accounts, 9)


def test_accounts_are_made_known_once_the_database_is_there() -> None:
    outbox, outages = FakeOutbox(rows=1), iter(range(3))

    def fail(results: Sequence[Result]) -> None:
        if next(outages, None) is not None:
            raise DatabaseUnavailable

    outbox.fail = fail
    Watched(outbox, accounts=[Account("default")]).worker.run(until="drained")
    assert (outbox.known, len(outbox.results)) == ([Account("default")], 1)


def test_a_database_that_refuses_the_accounts_ends_the_worker_before_anything_is_taken() -> None:
    outbox = FakeOutbox(rows=1)

    def fail(results: Sequence[Result]) -> None:
        raise SchemaOutOfDate

    outbox.fail = fail
    with pytest.raises(SchemaOutOfDate):
        Watched(outbox, accounts=[Account("default")]).worker.run()
    assert outbox.exchanges == []


def test_a_schema_that_changes_under_the_worker_costs_no_result() -> None:
    outbox = FakeOutbox(4)
    tries: list[int] = []

    def fail(results: Sequence[Result]) -> None:
        if results and len(tries) < 2:
            tries.append(1)
            raise SchemaOutOfDate()

    outbox.fail = fail
    assert Watched(outbox).worker.run(until="drained") == Totals(sent=4)


@pytest.mark.parametrize("error", [DatabaseError("8152 truncated"), UnicodeEncodeError("utf-8", "x", 0, 1, "no")])
def test_a_result_the_database_refuses_does_not_hold_up_the_others(error: Exception) -> None:
    outbox = FakeOutbox(4)

    def fail(results: Sequence[Result]) -> None:
        if any(r.id == 2 and r.body for r in results):
            raise error

    outbox.fail = fail
    assert Watched(outbox).worker.run(until="drained") == Totals(sent=4)
    stripped = next(r for r in outbox.results if r.id == 2)
    assert stripped.body is None
    assert "could not be stored" in (stripped.detail or "")


def test_a_result_the_database_never_takes_is_told_and_left_to_its_lease() -> None:
    outbox = FakeOutbox(4)

    def fail(results: Sequence[Result]) -> None:
        if any(r.id == 2 for r in results):
            raise DatabaseError("no")

    outbox.fail = fail
    watched = Watched(outbox)
    with watched.running():
        wait_for(lambda: len(outbox.results) == 3 and watched.told(events.ResultRefused))
    assert watched.told(events.ResultRefused) == [events.ResultRefused(2, "no")]


def test_a_lost_lease_is_told() -> None:
    outbox = FakeOutbox(2)
    outbox.lost_leases = {2}
    watched = Watched(outbox)
    totals = watched.worker.run(until="drained")
    assert (totals.sent, totals.lost) == (1, 1)
    assert watched.told(events.LeaseLost) == [events.LeaseLost(2)]


def test_the_lease_is_renewed_while_a_call_lasts() -> None:
    outbox, go = FakeOutbox(1), threading.Event()
    lease = outbox.queue[0].lease_id
    watched = Watched(outbox, Client(after(go)), lease_seconds=0.15, concurrency=1)
    with watched.running(until="drained"):
        wait_for(lambda: outbox.renewed.count(lease) >= 3)
        go.set()
        wait_for(lambda: outbox.results)
    assert set(outbox.renewed) == {lease}


def test_a_worker_frozen_after_taking_rows_gives_them_back_uncalled() -> None:
    outbox, client, now = FakeOutbox(2), Client(), [1000.0]
    frozen: list[int] = []

    def freeze(results: Sequence[Result]) -> None:
        if outbox.leased and not frozen:
            frozen.append(1)
            now[0] += 121

    outbox.fail_after = freeze
    watched = Watched(outbox, client, monotonic=lambda: now[0])
    totals = watched.worker.run(until="drained")
    assert (totals.released, totals.sent) == (2, 2)
    assert client.calls == 2
    assert len(watched.told(events.LeaseLost)) == 2


def test_stop_finishes_what_is_in_flight_and_takes_no_more() -> None:
    outbox, go, client = FakeOutbox(20), threading.Event(), Client()
    client.behave = after(go)
    watched = Watched(outbox, client)
    with watched.running() as future:
        wait_for(lambda: client.running == 4)
        watched.worker.stop()
        watched.worker.stop()
        wait_for(lambda: watched.told(events.Stopping))
        go.set()
        assert future.result(3) == Totals(sent=4)
    assert (outbox.leased, len(outbox.queue)) == ({}, 16)


def test_stop_gives_back_rows_whose_call_has_not_begun() -> None:
    outbox, client = FakeOutbox(4), Client()
    watched = Watched(outbox, client)
    outbox.fail_after = lambda results: watched.worker.stop()
    assert watched.worker.run() == Totals(released=4)
    assert (client.calls, outbox.leased) == (0, {})


def test_calls_that_outlast_the_grace_time_stay_leased() -> None:
    outbox, go, client = FakeOutbox(2), threading.Event(), Client()
    client.behave = lambda n: OK if n == 1 else after(go)(n)
    watched = Watched(outbox, client, grace_seconds=0.05)
    with watched.running() as future:
        wait_for(lambda: client.running == 1 and client.calls == 2)
        watched.worker.stop()
        assert future.result(2).sent == 1
        go.set()
    assert len(outbox.leased) == 1


def test_stop_in_an_outage_hands_the_results_in_when_it_ends_in_time() -> None:
    outbox, down = FakeOutbox(1), threading.Event()

    def fail(results: Sequence[Result]) -> None:
        if results and not down.is_set():
            raise DatabaseUnavailable()

    outbox.fail = fail
    watched = Watched(outbox)
    with watched.running() as future:
        wait_for(lambda: watched.told(events.DatabaseLost))
        watched.worker.stop()
        down.set()
        assert future.result(3) == Totals(sent=1)


@pytest.mark.parametrize("in_hand", [False, True], ids=["nothing in hand", "results in hand"])
def test_a_stopped_worker_that_hangs_while_its_database_is_away_may_be_left_with_nothing_in_hand_or_no_time_left(
    in_hand: bool,
) -> None:
    outbox, now = FakeOutbox(1 if in_hand else 0), [0.0]
    away, hangs, go = (threading.Event() for _ in range(3))
    if not in_hand:
        away.set()

    def fail(results: Sequence[Result]) -> None:
        if results:
            away.set()
        if away.is_set() and watched.told(events.DatabaseLost):
            hangs.set()
            go.wait(5)
        if away.is_set():
            raise DatabaseUnavailable()

    outbox.fail = fail
    watched = Watched(outbox, grace_seconds=30, monotonic=lambda: now[0])
    with watched.running():
        assert hangs.wait(5)
        assert not watched.worker.may_be_left, "nobody has stopped it"
        watched.worker.stop()
        assert watched.worker.may_be_left is not in_hand
        now[0] = 29.0
        watched.worker.stop()
        assert watched.worker.may_be_left is not in_hand
        now[0] = 30.0
        assert watched.worker.may_be_left
        go.set()


def test_the_exchange_that_ends_an_outage_takes_nothing_for_its_worker_may_have_been_left() -> None:
    outbox, outages = FakeOutbox(3), iter(range(3))

    def fail(results: Sequence[Result]) -> None:
        if next(outages, None) is not None:
            raise DatabaseUnavailable

    outbox.fail = fail
    assert Watched(outbox).worker.run(until="once").sent == 3
    assert outbox.exchanges[0] == (0, 0)
    assert outbox.exchanges[1] == (0, 4)


def test_a_stopped_worker_gives_up_on_a_lost_database_after_the_grace_time() -> None:
    outbox = FakeOutbox(1)

    def fail(results: Sequence[Result]) -> None:
        if results:
            raise DatabaseUnavailable()

    outbox.fail = fail
    watched = Watched(outbox, grace_seconds=0.05)
    with watched.running() as future:
        wait_for(lambda: watched.told(events.DatabaseLost))
        watched.worker.stop()
        assert future.result(2) == Totals()


def test_an_idle_worker_asks_ever_less_often_and_a_new_row_is_found() -> None:
    outbox = FakeOutbox()
    watched = Watched(outbox)
    with watched.running():
        time.sleep(0.3)
        assert len(outbox.exchanges) <= 4
        outbox.add()
        wait_for(lambda: outbox.results)


def test_a_stopped_worker_does_not_start() -> None:
    outbox = FakeOutbox(1)
    watched = Watched(outbox)
    watched.worker.stop()
    assert watched.worker.run() == Totals()
    assert outbox.exchanges == []


def test_the_database_is_told_what_to_do_with_sends_whose_lease_ran_out() -> None:
    outbox = FakeOutbox(1)
    Watched(outbox, on_unknown="retry").worker.run(until="drained")
    assert outbox.on_unknown == "retry"


def test_a_worker_purges_what_the_retention_settings_no_longer_keep_now_and_then() -> None:
    outbox = FakeOutbox()
    fast = Watched(outbox, monotonic=lambda: time.monotonic() * 1000)  # a minute passes in 60 ms
    with fast.running():
        wait_for(lambda: outbox.purges >= 2)
        fast.worker.stop()


def test_a_purge_that_the_database_refuses_stops_no_delivery() -> None:
    outbox = FakeOutbox()

    def refuse() -> bool:
        outbox.purges += 1
        raise DatabaseUnavailable

    outbox.apply_retention = refuse  # type: ignore[method-assign]
    fast = Watched(outbox, monotonic=lambda: time.monotonic() * 1000)
    with fast.running():
        wait_for(lambda: outbox.purges >= 1)
        outbox.add()
        wait_for(lambda: outbox.results)
        fast.worker.stop()
    assert [r.kind for r in outbox.results] == ["sent"]


def terms(client: Client, **changed: Any) -> Terms:
    given: dict[str, Any] = {
        "client_for": lambda account: client,
        "concurrency": 4,
        "grace_seconds": 30.0,
        "on_unknown": "reconcile",
        "read_back": ReadBackSettings(),
        "share": None,
        "rates": {},
        "breaker": Breaker(),
        "accounts": (),
    }
    return Terms(**given | changed)


def test_other_terms_count_for_what_is_taken_from_then_on() -> None:
    go = threading.Event()
    old, new, outbox = Client(after(go)), Client(), FakeOutbox(2)
    watched = Watched(outbox, old, concurrency=2)
    with watched.running():
        wait_for(lambda: old.running == 2)
        watched.worker.adopt(terms(new, concurrency=6, on_unknown="hold"))
        for _ in range(6):
            outbox.add()
        wait_for(lambda: new.calls == 6 - 2 or new.calls == 6)
        go.set()
        wait_for(lambda: len(outbox.results) == 8)
    assert (old.calls, new.calls) == (2, 6), "calls in flight ended as they began"
    assert outbox.on_unknown == "hold"


def test_fewer_calls_at_a_time_count_once_those_in_flight_have_ended() -> None:
    go = threading.Event()
    old, new, outbox = Client(after(go)), Client(taking(0.01)), FakeOutbox(4)
    watched = Watched(outbox, old)
    with watched.running():
        wait_for(lambda: old.running == 4)
        watched.worker.adopt(terms(new, concurrency=1))
        for _ in range(5):
            outbox.add()
        go.set()
        wait_for(lambda: len(outbox.results) == 9)
    assert new.most == 1
    assert all(take >= 0 for _, take in outbox.exchanges)


def test_new_limits_and_a_new_grace_time_count() -> None:
    hanging = threading.Event()
    outbox, client = FakeOutbox(), Client(after(hanging))
    watched = Watched(outbox, client, grace_seconds=60.0)
    with watched.running() as ended:
        wait_for(lambda: watched.told(events.Ready))
        watched.worker.adopt(terms(client, rates={"default": Rate(7.0)}, grace_seconds=0.05))
        wait_for(lambda: [limit.rate for limit in outbox.limits] == [7.0])
        outbox.add()
        wait_for(lambda: client.running == 1)
        watched.worker.stop()
        ended.result(timeout=PATIENCE)
        hanging.set()


def test_the_first_exchange_that_succeeds_is_told_once() -> None:
    outbox, tries = FakeOutbox(3), []

    def away(results: Sequence[Result]) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise DatabaseUnavailable("no")

    outbox.fail = away
    watched = Watched(outbox)
    with watched.running():
        wait_for(lambda: len(outbox.results) == 3)
    assert len(watched.told(events.Ready)) == 1
