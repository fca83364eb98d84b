"""A channel is followed: what is shown, how, and what is said when nothing comes or the database is away."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from afilsql import deploy
from afilsql.cli import follow as following
from afilsql.cli import lines
from afilsql.cli.follow import PAGE, SETTLED, Channel, Follower, follow
from afilsql.errors import DatabaseUnavailable, SchemaOutOfDate
from afilsql.outbox.base import Outbox
from afilsql.outbox.sqlite import SqliteOutbox

CHANNEL = Channel("default", "whatsapp", "100")
AT = "2026-11-24 10:45:19.000000"


class Ended(Exception):
    """Stands in for Ctrl+C."""


class Run:
    """What was shown and told, and how long each pause was."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.told: list[str] = []
        self.slept: list[float] = []

    @property
    def texts(self) -> list[str]:
        return [row["message"] for row in self.rows]


class Store:
    """An embedded outbox, and customers' messages written as a worker would leave them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outbox: Outbox = SqliteOutbox(f"sqlite:///{path.as_posix()}")  # type: ignore[assignment]

    def put(self, *texts: str | None, **columns: object) -> None:
        row = {"account": "default", "platform": "whatsapp", "platformid": "100", "destination": "346"}
        row |= {"sent": 0, "is_new": 1, "updated_at": AT, "seen_at": AT, "dated_at": AT} | columns  # type: ignore[dict-item]
        names = ", ".join(row)
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executemany(
                f"INSERT INTO chat_message ({names}, message) VALUES ({', '.join('?' * len(row))}, ?)",
                [(*row.values(), text) for text in texts],
            )

    def follow(self, *between: Callable[[], object], channel: Channel = CHANNEL, history: int = 10) -> Run:
        """Follow while one thing after the other happens, each between two looks."""
        run, todo = Run(), list(between)

        def sleep(seconds: float) -> None:
            run.slept.append(seconds)
            if not todo:
                raise Ended
            todo.pop(0)()

        with pytest.raises(Ended):
            follow(self.outbox, channel, history=history, show=run.rows.append, tell=run.told.append, sleep=sleep)
        return run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "a.db"
    deploy.migrate(f"sqlite:///{path.as_posix()}")
    made = Store(path)
    yield made
    made.outbox.close()


def test_the_last_messages_come_first_then_each_new_one_once(store: Store) -> None:
    store.put("a", "b", "c")
    run = store.follow(lambda: store.put("d"), lambda: None, lambda: store.put("e", "f"), history=2)
    assert run.texts == ["b", "c", "d", "e", "f"]


def test_without_history_only_new_messages_are_shown(store: Store) -> None:
    store.put("a")
    assert store.follow(lambda: store.put("b"), history=0).texts == ["b"]


def test_both_directions_of_one_channel_are_followed_or_one_chat_of_it(store: Store) -> None:
    def happen() -> None:
        store.put("in")
        store.put("out", sent=1)
        store.put("other chat", destination="347")
        store.put("other channel", platformid="200")
        store.put("other account", account="shop")

    assert store.follow(happen).texts == ["in", "out", "other chat"]
    assert store.follow(happen, channel=Channel("default", "whatsapp", "100", "347"), history=0).texts == ["other chat"]


def test_more_than_a_page_at_once_is_shown_in_order_without_a_pause(store: Store) -> None:
    texts = [str(n) for n in range(2 * PAGE + 5)]
    run = store.follow(lambda: store.put(*texts), history=0)
    assert run.texts == texts
    assert len(run.slept) == 2


def test_what_was_there_before_the_first_look_is_counted_not_shown(store: Store) -> None:
    def happen() -> None:
        store.put("old", "older", is_new=0)
        store.put("new")

    run = store.follow(happen)
    assert run.texts == ["new"]
    assert "not shown: 2 from before the first look" in run.told[-1]


def test_a_silent_channel_in_a_busy_table_reads_only_what_is_new(store: Store) -> None:
    now = [0.0]
    asked: list[int] = []
    real = store.outbox.rows_of

    class Counting:
        def rows_of(self, kind: str, **which: Any) -> list[dict[str, Any]]:
            asked.append(which.get("after") or 0)
            return real(kind, **which)

    follower = Follower(Counting(), CHANNEL, monotonic=lambda: now[0])  # type: ignore[arg-type]
    store.put(*("x" * 50), platformid="200")
    for _ in range(3):
        assert follower.news() == []
        now[0] += SETTLED
    store.put("at last")
    assert [row["message"] for row in follower.news()] == ["at last"]
    assert asked[-1] == 50  # as high as ids were a while ago


def test_nothing_subscribed_is_said_with_the_command_and_following_goes_on(store: Store) -> None:
    run = store.follow(lambda: store.put("a"), channel=Channel("shop", "whatsapp", "100"))
    assert "run `afilsql subscribe whatsapp 100 --account shop`" in run.told[0]
    run = store.follow(lambda: store.put("a"))
    assert "run `afilsql subscribe whatsapp 100`" in run.told[0]
    assert run.texts[-1] == "a"


def test_a_subscription_to_the_channel_or_to_the_chat_is_enough(store: Store) -> None:
    chat = Channel("default", "whatsapp", "100", "346")
    store.outbox.subscribe("whatsapp", "100", "347")
    assert "nothing is subscribed" in store.follow(channel=chat).told[0]
    assert store.follow(channel=CHANNEL).told == []
    store.outbox.subscribe("whatsapp", "100")
    assert store.follow(channel=chat).told == []


def test_a_subscription_whose_last_look_failed_is_told(store: Store) -> None:
    store.outbox.subscribe("whatsapp", "100")
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE subscription SET failures = 2, error_code = 'CHANNEL_NOT_FOUND'")
    assert "CHANNEL_NOT_FOUND" in store.follow().told[0]


def test_a_database_that_goes_away_is_told_once_and_what_came_meanwhile_is_shown(store: Store) -> None:
    store.outbox.subscribe("whatsapp", "100")
    real, away = store.outbox, [False]

    class Outage:
        def subscriptions(self) -> Any:
            return real.subscriptions()

        def rows_of(self, kind: str, **which: Any) -> list[dict[str, Any]]:
            if away[0]:
                raise DatabaseUnavailable("the wire is cut")
            return real.rows_of(kind, **which)

    def cut() -> None:
        away[0] = True

    def mend() -> None:
        store.put("meanwhile")
        away[0] = False

    store.outbox = Outage()  # type: ignore[assignment]
    run = store.follow(lambda: store.put("before"), cut, lambda: None, mend, lambda: store.put("after"))
    store.outbox = real
    assert run.texts == ["before", "meanwhile", "after"]
    assert run.told == ["the wire is cut; following goes on once it is back", "the database is back"]
    assert run.slept[2:4] == [following.PAUSE_AWAY] * 2


def test_a_database_that_is_not_there_at_the_beginning_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    with SqliteOutbox(f"sqlite:///{path.as_posix()}") as outbox, pytest.raises(SchemaOutOfDate):
        follow(outbox, CHANNEL, history=1, show=print, tell=print)  # type: ignore[arg-type]


def shown(store: Store, *, width: int = 60, terminal: bool = True, history: int = 100) -> str:
    """What a terminal without colours gets to see."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None, highlight=False)
    show = lines.shower(console, json=False)
    for row in store.outbox.rows_of("messages", limit=history):
        show(row)
    return out.getvalue()


def test_a_terminal_shows_day_time_direction_who_status_and_the_text_below(store: Store) -> None:
    store.put("Hello, is my order on its way?", status="received")
    store.put("It left today.", sent=1, status="delivered")
    store.put(None, sent=None, status="?", dated_at="2026-11-25 00:00:01.000000")
    assert shown(store).splitlines() == [
        "2026-11-24 (UTC)",
        "10:45:19 ← from 346",
        "         Hello, is my order on its way?",
        "10:45:19 → to 346  delivered",
        "         It left today.",
        "2026-11-25 (UTC)",
        "00:00:01 · with 346",
        "         (no text)",
    ]


def test_a_message_without_a_time_has_that_of_its_storing(store: Store) -> None:
    store.put("a", dated_at=None, seen_at="2026-01-02 03:04:05.000000")
    store.put("b", dated_at=None, seen_at=None, updated_at="2026-01-02 03:04:06.000000")
    assert [line[:8] for line in shown(store).splitlines() if "from" in line] == ["03:04:05", "03:04:06"]


@pytest.mark.parametrize("width", [30, 80])
def test_a_text_is_wrapped_within_the_width_and_below_its_beginning(store: Store, width: int) -> None:
    store.put("two or three days, depending on the weather " * 3 + "x" * 200 + "\r\n\tsecond line 😀 " + "漢" * 90)
    text = shown(store, width=width).splitlines()[2:]
    assert all(line.startswith(" " * 9) for line in text)
    assert max(map(cell_len, text)) <= width
    assert sum(line.count("漢") for line in text) == 90
    assert sum(line.count("x") for line in text) >= 200


def test_no_message_steers_the_terminal_or_adds_a_line_of_its_own(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J\x07\x9b31m [red]x[/red] \u202e"
    store.put(evil, destination="3\n4\x1b[6", status="\x1b]0;x\x07", sent=1)
    screen = shown(store)
    lines.line(store.outbox.rows_of("messages")[0])
    lines.json_line(store.outbox.rows_of("messages")[0])
    line, object_, *more = capsys.readouterr().out.splitlines()
    assert not [c for c in screen + line + object_ if not c.isprintable() and c != "\n"]
    assert "[red]x[/red]" in screen
    assert screen.count("\n") == 3
    assert more == []
    assert json.loads(object_)["message"] == evil


def test_piped_a_message_is_one_line(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.put("one\ntwo", sent=1, status="read")
    store.put("", sent=0, status="received")
    assert shown(store, terminal=False) == ""
    assert capsys.readouterr().out.splitlines() == [
        "2026-11-24 10:45:19 → to 346: one\\ntwo [read]",
        "2026-11-24 10:45:19 ← from 346: (no text)",
    ]
