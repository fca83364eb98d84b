"""What the operators' page reads and does, on every engine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest

from afilsql.errors import InvalidParameter, RequestNotFound
from afilsql.outbox.browse import SEARCH_SECONDS, Browser, Filter, go_back, open_browser
from afilsql.outbox.browse_sqlite import SqliteBrowser
from afilsql.outbox.records import Item, Request
from tests.contract.conftest import Engine


@pytest.fixture(scope="session")
def tsql_browser(tsql_url: str) -> Iterator[Browser]:
    """One browser for all tests: a procedure's first run on a connection is the slow one."""
    with open_browser(tsql_url) as browser:
        yield browser


@pytest.fixture
def browser(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Browser]:
    if "sqlite" not in engine.url:
        browser: Browser = request.getfixturevalue("tsql_browser")
        yield browser
        browser.resume()
        return
    with SqliteBrowser(engine.url, clock=engine.now) as embedded:
        yield embedded


def ids(browser: Browser, **which: object) -> list[int]:
    return [item.id for item in browser.find(Filter(**which)).items]  # type: ignore[arg-type]


def failed(engine: Engine, code: str = "NO_CREDIT", **options: object) -> int:
    id = engine.send(**options)  # type: ignore[arg-type]
    (claim,) = engine.take()
    engine.hand_in(claim, "failed", error_code=code)
    return id


def uncertain(engine: Engine, **options: object) -> int:
    id = engine.send(**options)  # type: ignore[arg-type]
    (claim,) = engine.take()
    engine.hand_in(claim, "uncertain", error_code="TIMEOUT", unknown=True)
    return id


def test_an_empty_outbox_shows_nothing(browser: Browser, engine: Engine) -> None:
    found = browser.overview()
    assert (found.paused, found.depths, found.uncertain, found.held, found.codes) == (False, [], 0, [], [])
    assert (found.workers, found.subscriptions, found.failing) == ([], 0, [])
    assert browser.finished_since(engine.now() - timedelta(days=1)) == []
    page = browser.find(Filter())
    assert (page.items, page.older, page.searched) == ([], None, True)


def test_the_overview_tells_what_waits_what_failed_and_who_works(browser: Browser, engine: Engine) -> None:
    failed(engine), failed(engine, "NO_CHANNEL"), failed(engine), uncertain(engine)
    engine.send("waits"), engine.send("later", send_at=engine.now() + timedelta(days=1))
    engine.outbox.hold_account("shop", "new password")
    found = browser.overview()
    ((account, waiting, scheduled, sending, oldest),) = [
        (d.account, d.waiting, d.scheduled, d.sending, d.oldest_seconds) for d in found.depths
    ]
    assert (account, waiting, scheduled, sending) == ("default", 1, 1, 0)
    assert oldest is not None and 0 <= oldest < 60
    assert found.codes == [("NO_CREDIT", 2), ("NO_CHANNEL", 1)]
    assert (found.uncertain, found.held) == (1, [("shop", "new password")])
    ((name, ago),) = found.workers
    assert name == "w" and -5 < ago < 60
    assert browser.account_names() == ["shop"] or set(browser.account_names()) == {"default", "shop"}


def test_a_subscription_that_fails_is_shown(browser: Browser, engine: Engine) -> None:
    engine.outbox.subscribe("whatsapp", "100", "34600000000")
    (claim,) = engine.take()
    engine.hand_in(claim, "failed", error_code="NO_CHANNEL")
    engine.take()
    found = browser.overview()
    assert (found.subscriptions, [(s.destination, s.error_code) for s in found.failing]) == (
        1,
        [("34600000000", "NO_CHANNEL")],
    )


def test_what_ended_is_counted_by_the_minute(browser: Browser, engine: Engine) -> None:
    failed(engine)
    engine.send("a"), engine.send("b")
    for claim in engine.take():
        engine.hand_in(claim)
    minutes = browser.finished_since(engine.now() - timedelta(hours=1))
    assert (sum(m.sent for m in minutes), sum(m.failed for m in minutes)) == (2, 1)
    assert all((m.at.second, m.at.microsecond) == (0, 0) and m.at.tzinfo for m in minutes)
    assert abs((minutes[-1].at - engine.now()).total_seconds()) < 120
    assert browser.finished_since(engine.now() + timedelta(minutes=2)) == []


def test_pages_go_back_by_id_without_a_gap(browser: Browser, engine: Engine) -> None:
    sent = [engine.send(str(n)) for n in range(7)]
    seen: list[int] = []
    page = browser.find(Filter(), limit=3)
    while True:
        seen += [item.id for item in page.items]
        if page.older is None:
            break
        page = browser.find(Filter(), before=page.older, limit=3)
    assert seen == sent[::-1]


@pytest.mark.parametrize("text", ["50% off", "HELLO", "under_score", "[brackets]", "back\\slash", "'; DROP", "ñandú"])
def test_a_text_is_found_in_messages_as_it_stands_in_whatever_case(browser: Browser, engine: Engine, text: str) -> None:
    engine.send("1", "nothing of it: 50 off, underXscore, b")
    wanted = engine.send("2", "say hello, 50% off, under_score [brackets] back\\slash '; DROP ñandú")
    assert ids(browser, text=text) == [wanted]


def test_a_text_is_found_in_destinations_keys_and_ids(browser: Browser, engine: Engine) -> None:
    first = engine.send("34600111222", dedup_key="order-7")
    second = engine.send("34600333444")
    assert ids(browser, text="0111") == [first]
    assert ids(browser, text="ORDER-7") == [first]
    assert second in ids(browser, text=str(second))
    assert ids(browser, text="9" * 30) == []


def test_whoever_may_not_see_messages_cannot_search_them(browser: Browser, engine: Engine) -> None:
    id = engine.send("34600111222", "a secret")
    assert ids(browser, text="secret", messages=False) == []
    assert ids(browser, text="34600111222", messages=False) == [id]


def test_each_filter_leaves_out_the_others(browser: Browser, engine: Engine) -> None:
    one = failed(engine, destination="a")
    two = engine.send("b", account="shop")
    three = engine.outbox.enqueue(Request("getchatchannels"))
    assert ids(browser, status="failed") == [one]
    assert ids(browser, status="queued") == [three, two]
    assert ids(browser, status="sent") == []
    assert ids(browser, account="shop") == [two]
    assert ids(browser, method="getchatchannels") == [three]
    assert ids(browser, platform="whatsapp") == [two, one]
    assert ids(browser, code="NO_CREDIT") == [one]
    assert ids(browser, status="failed", code="NO_CHANNEL") == []
    now = engine.now()
    assert ids(browser, since=now - timedelta(minutes=5)) == [three, two, one]
    assert ids(browser, since=now + timedelta(minutes=5)) == []
    assert ids(browser, until=now - timedelta(minutes=5)) == []
    assert ids(browser, until=now + timedelta(minutes=5), status="failed", text="a") == [one]


@pytest.mark.parametrize("status", ["cancelled", "uncertain", "sending", "scheduled"])
def test_every_state_can_be_filtered_by(browser: Browser, engine: Engine, status: str) -> None:
    cancelled = engine.send("c")
    browser.cancel([cancelled])
    made = {"cancelled": cancelled, "uncertain": uncertain(engine)}
    made |= {"scheduled": engine.send("d", send_at=engine.now() + timedelta(hours=1)), "sending": engine.send("e")}
    engine.take()
    assert ids(browser, status=status) == [made[status]]


def test_a_cancelled_request_is_not_sent_and_the_next_of_its_conversation_is(browser: Browser, engine: Engine) -> None:
    first, second, third = (engine.send() for _ in range(3))
    (claim,) = engine.take()
    assert browser.cancel([first, second]) == 1  # the first is being sent
    engine.hand_in(claim)
    assert engine.take_ids() == [third]
    assert engine.status(second) == "cancelled"


def test_cancelling_the_one_at_its_turn_lets_the_next_go(browser: Browser, engine: Engine) -> None:
    first, second = engine.send(), engine.send()
    (claim,) = engine.take()
    engine.hand_in(claim, "retry", error_code="CONNECT", retry_in=3600)
    assert browser.cancel([first]) == 1
    assert engine.take_ids() == [second]


def test_one_resolved_as_arrived_counts_as_sent(browser: Browser, engine: Engine) -> None:
    id = uncertain(engine)
    assert browser.resolve(id, "arrived") == "sent"
    item = engine.outbox.get(id).item
    assert (item.status, item.error_code) == ("sent", None) and item.completed_at is not None
    assert engine.take_ids() == []


def test_one_resolved_to_be_sent_again_has_a_fresh_set_of_tries(browser: Browser, engine: Engine) -> None:
    id = uncertain(engine)
    assert browser.resolve(id, "send again") == "queued"
    item = engine.outbox.get(id).item
    assert (item.attempts, item.max_attempts, item.completed_at) == (1, 9, None)
    assert engine.take_ids() == [id]


def test_resolving_one_that_is_read_back_lets_its_conversation_go_on(browser: Browser, engine: Engine) -> None:
    first, second = engine.send(), engine.send()
    (claim,) = engine.take()
    engine.hand_in(claim, "uncertain", error_code="TIMEOUT", unknown=True, look_in=3600)
    assert engine.take_ids() == []
    browser.resolve(first, "arrived")
    assert engine.take_ids() == [second]


def test_what_is_not_uncertain_is_not_resolved(browser: Browser, engine: Engine) -> None:
    id = engine.send()
    with pytest.raises(RequestNotFound, match=f"request {id} is queued, not uncertain"):
        browser.resolve(id, "arrived")
    with pytest.raises(RequestNotFound, match="does not exist"):
        browser.resolve(id + 999, "arrived")
    with pytest.raises(InvalidParameter, match="arrived, send again"):
        browser.resolve(id, "maybe")  # type: ignore[arg-type]
    assert engine.status(id) == "queued"


def test_while_all_is_paused_nothing_is_taken_and_what_is_in_flight_ends(browser: Browser, engine: Engine) -> None:
    engine.send("a")
    (claim,) = engine.take()
    browser.pause(None, "maintenance")
    waits = engine.send("b")
    assert browser.overview().paused
    exchanged = engine.hand_in(claim)
    assert (exchanged.lost, exchanged.waiting) == ([], False)
    assert engine.take_ids() == []
    assert browser.resume() and not browser.resume()
    assert not browser.overview().paused
    assert engine.take_ids() == [waits]


def test_one_account_is_paused_and_released_by_itself(browser: Browser, engine: Engine) -> None:
    waits, goes = engine.send("a", account="shop"), engine.send("b")
    browser.pause("shop", "new password")
    assert engine.take_ids() == [goes]
    assert browser.overview().held == [("shop", "new password")]
    assert browser.release_account("shop") and not browser.release_account("shop")
    assert engine.take_ids() == [waits]


def test_who_paused_and_why_is_in_the_event_log(browser: Browser, engine: Engine) -> None:
    browser.pause(None, "maintenance, by ann on the page")
    browser.resume()
    browser.pause("shop", "by ann")
    browser.release_account("shop")
    browser.resolve(id := uncertain(engine), "arrived")
    logged = engine.query("SELECT event, detail FROM event_log ORDER BY id")
    assert [e for e, _ in logged] == ["paused", "resumed", "account_held", "account_released", "resolved"]
    assert logged[0][1].startswith("maintenance, by ann on the page (")
    assert logged[2][1].startswith("shop: by ann")
    assert logged[4][1].startswith(f"{id}: arrived (")


@pytest.mark.parametrize(("account", "reason"), [("", "why"), ("x" * 129, "why"), (None, ""), (None, "x" * 401)])
def test_a_pause_without_a_name_or_a_reason_is_refused(
    browser: Browser, engine: Engine, account: str | None, reason: str
) -> None:
    with pytest.raises(InvalidParameter):
        browser.pause(account, reason)
    assert not browser.overview().paused


def test_a_search_that_takes_too_long_says_where_it_stopped_and_goes_on_from_there() -> None:
    asked: list[tuple[int, int]] = []
    passed, rate = 0.0, 200_000.0

    def fetch(start: int, end: int, most: int) -> list[Item]:
        nonlocal passed
        asked.append((start, end))
        passed += (end - start) / rate
        return []

    found = go_back(fetch, first=1, end=10_000_001, limit=50, at_once=False, monotonic=lambda: passed)
    assert not found.searched and found.older == asked[-1][0] > 1
    assert SEARCH_SECONDS <= passed < 1.2 * SEARCH_SECONDS, "a step is no longer than the time left"
    rate = float("inf")
    again = go_back(fetch, first=1, end=found.older, limit=50, at_once=False, monotonic=lambda: passed)
    assert again.searched and again.older is None
    assert asked[0][1] == 10_000_001 and asked[-1][0] == 1
    assert all(before[0] == after[1] for before, after in pairwise(asked)), "no id is left out"
