"""How long a worker waits between exchanges."""

from __future__ import annotations

import random
from itertools import pairwise

from afilsql.delivery.pace import Pace


def test_an_idle_worker_asks_ever_less_often_until_once_in_two_seconds_or_a_little_more() -> None:
    pace = Pace(random.Random(1).random)
    pauses = [pace.idle() for _ in range(2000)]
    assert 0.05 <= pauses[0] <= 0.1
    assert all(1.9 * a <= b for a, b in pairwise(pauses[:5]))
    late = pauses[10:]
    assert sum(late) / len(late) >= 2.0
    assert max(late) <= 2.15


def test_workers_that_are_idle_together_do_not_ask_together() -> None:
    chance = random.Random(1)
    assert len({Pace(chance.random).idle() for _ in range(20)}) == 20


def test_what_is_taken_or_ends_has_a_worker_ask_often_again() -> None:
    pace = Pace(lambda: 0.5)
    first = pace.idle()
    assert pace.idle() > first
    pace.busy()
    assert pace.idle() == first


def test_a_database_that_is_away_is_tried_ever_less_often_until_it_takes_part() -> None:
    pace = Pace(lambda: 0.0)
    first = pace.outage()
    pauses = [pace.outage() for _ in range(10)]
    assert first < pauses[0] < pauses[1]
    assert pauses[-1] == pauses[-2] == 2.5
    pace.connected()
    assert pace.outage() == first
