"""afil.configure: names and values are checked, changes are logged."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emptying import SETTINGS
from tests.tsql.conftest import DriverError
from tests.tsql.rows import events

pytestmark = pytest.mark.tsql


CHANGEABLE = [s for s in SETTINGS if s[0] != "paused"]


def configure(query: Any, name: str | None = None, value: int | None = None) -> list[Any]:
    return query("EXEC afil.configure @name = ?, @value = ?", name, value)


def test_without_parameters_it_lists_every_setting_with_its_limits_and_meaning(query: Any) -> None:
    assert [tuple(r) for r in query("EXEC afil.configure")] == sorted(SETTINGS)
    assert events(query) == []


def test_with_a_name_it_shows_that_one(query: Any) -> None:
    assert [r.name for r in query("EXEC afil.configure @name = N'paused'")] == ["paused"]
    assert events(query) == []


@pytest.mark.parametrize("setting", CHANGEABLE, ids=lambda s: s[0])
def test_both_limits_are_accepted_and_what_lies_beyond_is_refused_with_them(query: Any, setting: Any) -> None:
    name, default, lowest, highest, _ = setting
    for value in (lowest, highest):
        assert configure(query, name, value)[0].value == value
    for value in (lowest - 1, highest + 1):
        with pytest.raises(
            DriverError, match=rf"@value {value} is not between {lowest} and {highest} for {name}.*51001"
        ):
            configure(query, name, value)
    assert configure(query, name)[0].value == highest
    login = query("SELECT SUSER_SNAME()")[0][0]
    assert events(query) == [
        ("configured", f"{name}: {default} -> {lowest} ({login})"),
        ("configured", f"{name}: {lowest} -> {highest} ({login})"),
    ]


@pytest.mark.parametrize(("name", "value"), [("retention", 1), ("", None), ("x' OR 1=1 --", None)])
def test_an_unknown_name_is_refused_with_those_there_are(query: Any, name: str, value: int | None) -> None:
    names = ", ".join(s[0] for s in SETTINGS)
    with pytest.raises(DriverError, match=rf"is not one of {names}.*51001"):
        configure(query, name, value)


def test_a_value_without_a_name_is_refused(query: Any) -> None:
    with pytest.raises(DriverError, match=r"@name is missing: EXEC afil.configure; lists the settings.*51001"):
        configure(query, None, 1)


def test_the_pause_is_not_set_here(query: Any) -> None:
    with pytest.raises(DriverError, match=r"paused is set by afil.pause and afil.resume.*51001"):
        configure(query, "paused", 1)


def test_a_new_request_takes_the_number_of_tries_set(query: Any) -> None:
    configure(query, "max_attempts", 3)
    query("EXEC afil.get_chat_channels")
    assert query("SELECT max_attempts FROM afil.all_items")[0][0] == 3


def test_a_change_inside_a_transaction_goes_with_its_rollback(query: Any) -> None:
    query("BEGIN TRANSACTION; EXEC afil.configure @name = N'max_attempts', @value = 3; ROLLBACK TRANSACTION;")
    assert configure(query, "max_attempts")[0].value == 8
    assert events(query) == []
