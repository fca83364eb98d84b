"""What a worker takes of each account: its share, its rate, and the breaker."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from afilsql.delivery.limits import WINDOW, Breaker, Limits, Rate, Trip
from afilsql.outbox.records import Limit


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def limits(share: int = 8, clock: Clock | None = None, **rates: Rate) -> Limits:
    return Limits(share, rates, clock or Clock())


def calls(made: Limits, outcomes: str, account: str = "shop") -> list[Trip | None]:
    """End one call for each letter: o healthy, x failed, - shows nothing."""
    trips = []
    for letter in outcomes:
        made.begin(account)
        trips.append(made.end(account, {"o": True, "x": False, "-": None}[letter]))
    return trips


def test_an_idle_worker_has_nothing_to_say_of_accounts_without_a_rate() -> None:
    assert limits().now(8) == []


def test_a_rate_is_told_with_every_exchange() -> None:
    assert limits(shop=Rate(5.0, 10.0)).now(8) == [Limit("shop", rate=5.0, burst=10.0)]


def test_nothing_is_told_of_an_account_that_may_have_all_that_is_taken() -> None:
    made = limits(share=8)
    made.begin("shop")
    assert made.now(7) == []
    assert made.now(8) == [Limit("shop", room=7)]


def test_the_room_of_an_account_is_its_share_less_what_is_in_flight() -> None:
    made = limits(share=3)
    for _ in range(2):
        made.begin("shop")
    assert made.now(8) == [Limit("shop", room=1)]
    made.begin("shop")
    assert made.now(8) == [Limit("shop", room=0)]
    for _ in range(3):
        made.end("shop", True)
    assert made.now(8) == []


def test_the_breaker_opens_when_half_of_enough_calls_failed() -> None:
    assert calls(limits(), "xxxx") == [None] * 4
    assert calls(limits(), "xxxxx")[-1] == Trip("shop", 5, 5)
    assert calls(limits(), "ooooxxxx")[-1] == Trip("shop", 4, 8)
    assert calls(limits(), "oooooxxxx") == [None] * 9


def test_success_never_opens_it_and_calls_that_show_nothing_do_not_count() -> None:
    assert calls(limits(), "xxxxooooo") == [None] * 9
    assert calls(limits(), "x-x-x-x-") == [None] * 8


def test_only_the_last_minute_counts() -> None:
    clock = Clock()
    made = limits(clock=clock)
    calls(made, "xxxx")
    clock.now += WINDOW + 1
    assert calls(made, "xxxx") == [None] * 4


def test_one_accounts_failures_are_not_anothers() -> None:
    made = limits()
    calls(made, "xxxx")
    assert calls(made, "x", account="desk") == [None]


def test_an_open_breaker_is_told_once_and_then_counts_anew() -> None:
    made = limits()
    calls(made, "xxxxx")
    assert made.now(8) == [Limit("shop", tripped=True)]
    made.told()
    assert made.now(8) == []
    assert calls(made, "xxxx") == [None] * 4
    assert calls(made, "x") == [Trip("shop", 5, 5)]


def test_it_opens_as_the_settings_say_or_never() -> None:
    strict = Limits(8, {}, Clock(), Breaker(calls=2, share=1.0))
    assert calls(strict, "xoxx")[-1] is None
    assert calls(Limits(8, {}, Clock(), Breaker(calls=2, share=1.0)), "xx")[-1] == Trip("shop", 2, 2)
    assert calls(Limits(8, {}, Clock(), Breaker(calls=0)), "x" * 60) == [None] * 60


@given(st.text("ox-", max_size=60))
def test_it_never_opens_while_less_than_half_fail(outcomes: str) -> None:
    for n, trip in enumerate(calls(limits(), outcomes), start=1):
        if trip is not None:
            assert Breaker().calls <= trip.calls <= n
            assert trip.failures * 2 >= trip.calls
