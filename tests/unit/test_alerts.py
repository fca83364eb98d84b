"""What a person is told of, and how often."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afilsql.config import load_settings
from afilsql.delivery import events
from afilsql.delivery.alerts import LOST_AFTER, MOST_KEYS, QUIET, Alert, Watch, alert_for
from afilsql.errors import ConfigError

AT = datetime(2026, 1, 1, tzinfo=UTC)


def held(account: str = "shop") -> events.AccountHeld:
    return events.AccountHeld(account, "INCORRECT_USER_PASSWORD", "Correct the password of ana@example.com")


def delivered(kind: str, code: str = "TIMEOUT") -> events.Delivered:
    return events.Delivered(7, "shop", "sendmessage", 1, kind, code, "to 34600000000", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (held(), "account_held"),
        (events.ResultRefused(7, "x"), "result_refused"),
        (delivered("uncertain"), "uncertain"),
        (delivered("sent"), None),
        (delivered("failed"), None),
        (events.BreakerOpened("shop", 9, 10, 30.0), "breaker_opened"),
        (events.BreakerClosed("shop", 30.0), "breaker_closed"),
        (events.LeaseLost(7), None),
        (events.Stopping(1), None),
    ],
)
def test_what_needs_a_person_is_an_alert(event: events.Event, kind: str | None) -> None:
    alert = alert_for(event)
    assert (alert and alert.kind) == kind


def test_an_alert_carries_no_detail_and_no_code_that_may_be_a_message() -> None:
    for event in (held(), delivered("uncertain", "Your order left"), events.ResultRefused(7, "Your order left")):
        said = json.dumps(asdict(alert_for(event)))  # type: ignore[call-overload]
        assert not any(word in said for word in ("order", "34600000000", "ana@example.com"))


def test_an_invented_account_name_is_no_command_of_a_chat() -> None:
    alert = alert_for(held("<!channel>\n`x`" + "y" * 500))
    assert alert is not None and alert.account is not None
    assert alert.account.startswith("??channel???x?yy")
    assert len(alert.account) == 100
    assert "<" not in alert.text and "\n" not in alert.text


def test_a_second_alert_waits_and_says_how_many_were_left_out() -> None:
    watch = Watch()
    assert len(watch.see(held(), 0.0, AT)) == 1
    assert [watch.see(held(), now, AT) for now in (1.0, 2.0, QUIET - 1)] == [[], [], []]
    assert len(watch.see(held("other"), 3.0, AT)) == 1, "another account's is another's"
    assert watch.next_due() == QUIET
    assert watch.due(QUIET - 0.1) == []
    (late,) = watch.due(QUIET)
    assert (late.kind, late.left_out) == ("account_held", 2)
    assert watch.due(QUIET + 100) == []


def test_after_the_quiet_all_is_as_at_first() -> None:
    watch = Watch()
    watch.see(held(), 0.0, AT)
    assert watch.due(QUIET) == []
    assert watch.next_due() is None
    assert [a.left_out for a in watch.see(held(), QUIET + 1, AT)] == [0]


def test_a_short_outage_of_the_database_is_not_told() -> None:
    watch = Watch()
    assert watch.see(events.DatabaseLost("x"), 0.0, AT) == []
    assert watch.due(LOST_AFTER - 1) == []
    assert watch.see(events.DatabaseBack(59.0), 59.0, AT) == []
    assert watch.due(LOST_AFTER * 2) == []


def test_a_long_outage_is_told_while_it_lasts_and_when_it_is_over() -> None:
    watch = Watch()
    watch.see(events.DatabaseLost("x"), 10.0, AT)
    assert watch.next_due() == 10.0 + LOST_AFTER
    assert [a.kind for a in watch.due(10.0 + LOST_AFTER)] == ["database_lost"]
    assert [a.kind for a in watch.see(events.DatabaseBack(99.0), 109.0, AT)] == ["database_back"]


@given(st.lists(st.tuples(st.floats(0, 200), st.sampled_from(["a", "b"])), max_size=60))
def test_no_alert_comes_too_early_and_none_is_uncounted(steps: list[tuple[float, str]]) -> None:
    watch, now = Watch(), 0.0
    sent: list[tuple[float, Alert]] = []
    for pause, account in steps:
        now += pause
        sent += [(now, a) for a in watch.due(now)]
        sent += [(now, a) for a in watch.see(held(account), now, AT)]
    sent += [(now + QUIET, a) for a in watch.due(now + QUIET)]
    for account in ("a", "b"):
        times = [t for t, a in sent if a.account == account]
        assert all(later - earlier >= QUIET - 1e-6 for earlier, later in pairwise(times))
    assert sum(1 + a.left_out for _, a in sent) == len(steps)


def test_invented_accounts_fill_no_memory_and_send_no_flood() -> None:
    watch = Watch()
    sent = [a for n in range(MOST_KEYS * 10) for a in watch.see(held(f"invented {n}"), 1.0, AT)]
    assert len(sent) == MOST_KEYS + 1
    assert len(watch.due(QUIET + 1)) == 1


def test_the_hooks_come_from_the_environment_or_the_file(tmp_path):
    command = load_settings(environ={"AFILSQL_ALERT_COMMAND": '["mail", "dba@example.com"]'}).alert_command
    assert command == ["mail", "dba@example.com"]
    path = tmp_path / "a.toml"
    path.write_text('alert_command = ["mail"]\nalert_url = "http://127.0.0.1:1/x"\n')
    settings = load_settings(path, {})
    assert (settings.alert_command, settings.alert_url) == (["mail"], "http://127.0.0.1:1/x")
    assert "127.0.0.1:1" not in repr(settings), "an address may hold a token"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALERT_COMMAND", "mail dba"),
        ("ALERT_COMMAND", "[]"),
        ("ALERT_COMMAND", '[""]'),
        ("ALERT_COMMAND", '["a\\u0000"]'),
        ("ALERT_COMMAND", '"mail"'),
        ("ALERT_URL", "http://example.com/x"),
        ("ALERT_URL", "ftp://example.com"),
        ("ALERT_URL", "https://ana:word@example.com"),
        ("ALERT_URL", "https://example.com:port"),
        ("ALERT_URL", "https://[bad"),
    ],
)
def test_a_wrong_hook_is_refused_with_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"AFILSQL_{name}"):
        load_settings(environ={f"AFILSQL_{name}": value})
