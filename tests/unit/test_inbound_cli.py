"""Commands for what customers write: what they print, how they exit. The embedded outbox stands behind them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from afilsql import cli
from afilsql.cli.context import Exit
from afilsql.display import subscriptions_tables
from afilsql.outbox.records import Subscription

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CHANNEL = ("whatsapp", "100")
CHAT = ("telegram", "200", "--destination", "34600000000")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("AFILSQL_DATABASE_URL", f"sqlite:///{tmp_path.as_posix()}/a.db")
    monkeypatch.delenv("AFILSQL_CONFIG", raising=False)

    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(args)
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def listed(run: Run) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("subscriptions", "--json")[1])
    return found


def test_a_channel_or_one_chat_is_subscribed_to_and_listed(run: Run) -> None:
    assert run("subscribe", *CHANNEL) == (0, "Subscription 1: whatsapp 100 every 30 s.\n", "")
    code, out, _ = run("subscribe", *CHAT, "--every", "3600", "--unread-only", "--account", "shop", "--json")
    assert (code, json.loads(out)) == (0, {"id": 2})
    first, second = listed(run)
    assert (first["account"], first["platform"], first["platformid"], first["destination"]) == (
        "default",
        *CHANNEL,
        None,
    )
    assert (first["every_seconds"], first["unread_only"], first["failures"], first["last_at"]) == (30, False, 0, None)
    assert (second["account"], second["destination"], second["every_seconds"]) == ("shop", "34600000000", 3600)
    assert second["unread_only"] is True
    assert datetime.fromisoformat(str(first["next_at"])).utcoffset() == timedelta()


def test_subscribing_again_changes_how_often(run: Run) -> None:
    run("subscribe", *CHANNEL)
    assert run("subscribe", *CHANNEL, "--every", "60")[1] == "Subscription 1: whatsapp 100 every 60 s.\n"
    assert [s["every_seconds"] for s in listed(run)] == [60]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("fax", "1"), "'fax' is not one of webchat, whatsapp, telegram, operator"),
        ((*CHANNEL, "--every", "4"), "5 and 86400"),
        (("whatsapp", ""), "platformid"),
        ((*CHANNEL, "--destination", "3" * 201), "201 characters"),
    ],
    ids=lambda value: " ".join(value)[:20],
)
def test_a_subscription_that_is_not_allowed_is_refused_with_the_reason(
    run: Run, args: tuple[str, ...], said: str
) -> None:
    code, out, err = run("subscribe", *args)
    assert (code, out) == (Exit.USAGE, "")
    assert said in err
    assert listed(run) == []


def test_a_subscription_is_ended_by_what_it_is_subscribed_to(run: Run) -> None:
    run("subscribe", *CHANNEL)
    run("subscribe", *CHAT, "--account", "shop")
    code, out, err = run("unsubscribe", *CHAT)
    assert (code, out) == (Exit.FAILED, "")
    assert "the account default has no subscription to telegram 200 34600000000" in err
    assert run("unsubscribe", *CHAT, "--account", "shop", "--json")[:2] == (0, '{\n  "ended": true\n}\n')
    assert run("unsubscribe", *CHANNEL) == (0, "No longer subscribed to whatsapp 100.\n", "")
    assert run("unsubscribe", *CHANNEL)[0] == Exit.FAILED
    assert listed(run) == []


def test_without_subscriptions_the_command_that_makes_one_is_named(run: Run) -> None:
    assert run("subscriptions")[:2] == (0, "No subscriptions: `afilsql subscribe` makes one.\n")
    assert listed(run) == []


def table(*subscriptions: Subscription, width: int = 80) -> str:
    out = io.StringIO()
    for made in subscriptions_tables(subscriptions, NOW):
        Console(file=out, width=width, color_system=None).print(made)
    return out.getvalue()


SUBSCRIPTION = Subscription(
    id=7,
    account="default",
    platform="whatsapp",
    platformid="100",
    destination=None,
    every_seconds=30,
    unread_only=False,
    next_at=NOW + timedelta(seconds=12),
    last_at=NOW - timedelta(seconds=18),
    failures=0,
    error_code=None,
    created_by="ana",
)


def test_the_table_tells_when_each_asks_and_was_answered_on_a_line_of_80_columns() -> None:
    chat = replace(SUBSCRIPTION, id=8, destination="34600000000", next_at=NOW, last_at=None, every_seconds=3600)
    lines = [" ".join(line.split()) for line in table(SUBSCRIPTION, chat).splitlines()]
    assert "7 default whatsapp 100 all 30 s in 12 s 18 s ago" in lines
    assert "8 default whatsapp 100 34600000000 1 h now never" in lines
    assert "Failing subscriptions" not in lines


@pytest.mark.parametrize(("seconds", "told"), [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min")])
def test_how_long_ago_is_told_in_a_unit_that_fits(seconds: int, told: str) -> None:
    assert f" {told} ago" in table(replace(SUBSCRIPTION, last_at=NOW - timedelta(seconds=seconds)))


def test_those_that_fail_are_told_with_their_code() -> None:
    broken = replace(SUBSCRIPTION, id=9, failures=3, error_code="CHANNEL_NOT_FOUND", unread_only=True)
    lines = [" ".join(line.split()) for line in table(SUBSCRIPTION, broken).splitlines()]
    assert "9 whatsapp 100 3 CHANNEL_NOT_FOUND" in lines
    assert not any(line.startswith("7 ") for line in lines[lines.index("Failing subscriptions") :])
    assert any("all, unread" in line for line in lines)


def test_no_name_steers_the_terminal() -> None:
    evil = "\x1b[2J[red]\u202e"
    shown = table(replace(SUBSCRIPTION, account=evil, platformid=evil, destination=evil, error_code=evil))
    assert not [c for c in shown if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("args", [("fax", "1"), ("whatsapp", ""), ("whatsapp", "1", "--history", "-1")], ids=str)
def test_what_cannot_be_followed_is_refused(run: Run, args: tuple[str, ...]) -> None:
    assert run("tail", *args)[0] == Exit.USAGE
