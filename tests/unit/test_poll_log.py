"""What the log says of what subscriptions ask: little, for it comes every few seconds."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from afilsql import logs
from afilsql.delivery import events


def line(kind: str, *, level: str, poll: bool = True) -> dict[str, Any] | None:
    stream = io.StringIO()
    with logs.logging_to(stream, level=level, format="json") as logger:
        event = events.Delivered(7, "shop", "getchats", 1, kind, None, None, 5, poll=poll)  # type: ignore[arg-type]
        logs.log_event(logger, event)
    return json.loads(stream.getvalue()) if stream.getvalue() else None


def test_a_poll_that_succeeds_is_told_at_debug_level_only() -> None:
    assert line("sent", level="info") is None
    told = line("sent", level="debug")
    assert told is not None
    assert (told["event"], told["level"], told["poll"]) == ("delivered", "debug", True)


@pytest.mark.parametrize("kind", ["failed", "retry", "hold"])
def test_a_poll_that_fails_is_no_warning_for_it_is_asked_again(kind: str) -> None:
    told = line(kind, level="info")
    assert told is not None
    assert told["level"] == "info"


def test_what_somebody_asked_is_told_as_ever() -> None:
    told = line("sent", level="info", poll=False)
    assert told is not None
    assert "poll" not in told
