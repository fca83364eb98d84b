"""One frame of `afilsql top` at many sizes, and what it is made of."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import pytest
from rich.console import Console

from afilsql.errors import DatabaseUnavailable
from afilsql.outbox.browse import Depth, Filter, Found, Minute, Overview
from afilsql.outbox.records import Item
from afilsql.top.state import MINUTES, Looker, Seen
from afilsql.top.view import BARS, Frame, sparkline
from tests.patience import PATIENCE

NOW = datetime(2026, 11, 24, 11, 50, 30, tzinfo=UTC)
EVIL = "evil\x1b[31m\nname"


def item(id: int) -> Item:
    parameters = {"destination": f"3460000{id:04}", "message": "a text that is not shown"}
    ended = NOW - timedelta(minutes=id)
    code = "CHAT_NOT_FOUND"
    return Item(
        id, uuid4(), EVIL, "sendmessage", parameters, 5, "failed", NOW, 3, 8, NOW, "u", ended, code, 404, None
    )  # fmt: skip


def overview(accounts: int = 2, workers: int = 1, *, paused: bool = False) -> Overview:
    depths = [Depth(f"account-{n}", n * 1000, n * 10, n, 5.0 * n) for n in range(accounts)]
    held = [(EVIL, "INCORRECT_USER_PASSWORD: User or password is wrong.")]
    return Overview(paused, depths, 2, held, [(f"host-{n}:1234", 3.0) for n in range(workers)], 0, [], [])


def drawn(seen: Seen, width: int, height: int, encoding: str = "utf-8", **how: Any) -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    console = Console(file=out, width=width, height=height, highlight=False)
    console.print(Frame(seen, database="sqlite:///outbox.db", height=height, **how))
    out.flush()
    return cast(io.BytesIO, out.buffer).getvalue().decode(encoding).rstrip("\n").split("\n")


def busy(accounts: int = 2, workers: int = 1, failures: int = 3, **more: Any) -> Seen:
    rates = [n % 7 for n in range(MINUTES)]
    return Seen(NOW, overview(accounts, workers), rates, rates, [item(n) for n in range(1, failures + 1)], NOW, **more)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 30), (200, 60), (60, 16)])
@pytest.mark.parametrize(
    ("accounts", "workers", "failures"), [(0, 0, 0), (2, 1, 3), (40, 0, 0), (1, 30, 1), (40, 30, 100)]
)
@pytest.mark.parametrize("more", [{}, {"trouble": "away " * 40, "said": "done " * 40}], ids=["well", "trouble"])
def test_a_frame_is_never_larger_than_the_terminal(
    width: int, height: int, accounts: int, workers: int, failures: int, more: dict[str, str]
) -> None:
    lines = drawn(busy(accounts, workers, failures, **more), width, height, chosen=failures - 1)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert lines[-1].startswith("p pause")


def test_a_frame_shows_depths_rates_workers_what_is_closed_and_failures() -> None:
    text = "\n".join(drawn(busy(), 120, 30))
    for shown in ("1,000 waiting", "oldest 5s", "2 uncertain", "1 closed", "account-1", "host-0:1234", "3s ago"):
        assert shown in text
    for shown in ("INCORRECT_USER_PASSWORD", "CHAT_NOT_FOUND", "34600000001", "11:50:30 UTC", "3/min", BARS[-1]):
        assert shown in text
    assert "PAUSED" not in text
    assert "a text that is not shown" not in text


def test_a_pause_is_in_the_first_line() -> None:
    assert "PAUSED" in drawn(Seen(NOW, overview(paused=True)), 80, 24)[0]


def test_names_from_outside_cannot_steer_the_terminal() -> None:
    text = "\n".join(drawn(busy(), 120, 30))
    assert "\x1b" not in text
    assert "evil\\x1b[31m\\nname" in text


def test_the_chosen_failure_is_on_the_screen_however_many_there_are() -> None:
    assert any(" 77 " in line for line in drawn(busy(failures=100), 80, 24, chosen=76))


def test_an_outage_says_since_when_what_is_seen_is_old_and_keeps_it() -> None:
    text = "\n".join(drawn(busy(trouble="the outbox database cannot be used right now: no route"), 80, 24))
    assert "Database away (last seen 11:50:30): no route" in text
    assert "1,000 waiting" in text


def test_a_question_takes_the_place_of_the_keys() -> None:
    lines = drawn(busy(), 80, 24, question="Put request 7 back in the queue?")
    assert lines[-1].startswith("Put request 7 back in the queue? (y/n)")


def test_a_terminal_without_the_characters_gets_others() -> None:
    lines = drawn(busy(accounts=3, failures=2), 100, 24, encoding="ascii")
    assert "\\u" not in "\n".join(lines)


def test_a_rate_is_that_of_the_latest_sixty_seconds() -> None:
    assert "70/min" in drawn(Seen(NOW, overview(), [500, 40, 50], [0]), 80, 24)[2]
    assert "5/min" in drawn(Seen(NOW, overview(), [5], [0]), 80, 24)[2]


def test_a_long_reason_pushes_no_number_off_the_screen() -> None:
    held = [(EVIL, "INCORRECT_USER_PASSWORD: " + "the API refuses the user or the password " * 9)]
    seen = busy()
    assert seen.overview is not None
    lines = drawn(replace(seen, overview=replace(seen.overview, held=held)), 80, 24)
    (heading,) = (line for line in lines if line.startswith("account "))
    assert heading.split() == ["account", "waiting", "sending", "scheduled", "oldest", "state"]
    assert any("account-1" in line and "1,000" in line and "5s" in line for line in lines)


def test_bars_are_as_high_as_what_they_stand_for() -> None:
    assert sparkline([0, 1, 4, 8]) == f" {BARS[0]}{BARS[3]}{BARS[7]}"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""


class FakeBrowser:
    """Answers as told; keeps since when minutes were asked for."""

    def __init__(self) -> None:
        self.down = False
        self.asked: list[datetime] = []
        self.minutes: list[Minute] = []
        self.closed = threading.Event()

    def overview(self) -> Overview:
        if self.down:
            raise DatabaseUnavailable("gone")
        return overview()

    def finished_since(self, since: datetime) -> list[Minute]:
        self.asked.append(since)
        return [m for m in self.minutes if m.at >= since]

    def find(self, which: Filter, *, before: int | None = None, limit: int = 50) -> Found:
        return Found([item(1)], None)

    def requeue(self, ids: Sequence[int]) -> int:
        raise DatabaseUnavailable("gone")

    def close(self) -> None:
        self.closed.set()


def test_only_the_latest_minutes_are_asked_for_once_the_others_are_known() -> None:
    browser, now = FakeBrowser(), [NOW]
    minute = NOW.replace(second=0)
    browser.minutes = [Minute(minute - timedelta(minutes=n), 10 + n, n) for n in (0, 1, 50)]
    looker = Looker(cast(Any, browser), every=1, now=lambda: now[0])
    looker.look()
    assert (looker.seen.sent[-1], looker.seen.sent[-2], looker.seen.sent[-51]) == (10, 11, 60)
    now[0] += timedelta(minutes=1)
    browser.minutes.append(Minute(minute + timedelta(minutes=1), 99, 0))
    looker.look()
    assert (looker.seen.sent[-1], looker.seen.sent[-2], looker.seen.sent[-52]) == (99, 10, 60)
    assert browser.asked[1] >= minute - timedelta(minutes=1)


def test_an_outage_keeps_what_was_seen_and_passes() -> None:
    browser = FakeBrowser()
    looker = Looker(cast(Any, browser), every=1, now=lambda: NOW)
    looker.look()
    browser.down = True
    looker.look()
    assert looker.seen.trouble == "gone"
    assert looker.seen.overview is not None and looker.seen.failures
    browser.down = False
    looker.look()
    assert looker.seen.trouble is None


def test_an_action_that_fails_is_told_and_the_view_goes_on() -> None:
    browser = FakeBrowser()
    looker = Looker(cast(Any, browser), every=0.01)
    looker.start()
    looker.do(lambda b: str(b.requeue([1])))
    end = threading.Event()
    for _ in range(300):
        if looker.seen.said == "gone":
            break
        end.wait(0.01)
    assert looker.seen.said == "gone"
    looker.close()
    assert browser.closed.wait(PATIENCE)
