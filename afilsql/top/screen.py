"""The live view: frames on the screen, keys in, until quit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.live import Live

from afilsql.outbox.browse import Browser
from afilsql.top.keys import ReadKey
from afilsql.top.state import Action, Looker
from afilsql.top.view import Frame

REASON = "paused in afilsql top"
#: Seconds a key is waited for before what was seen meanwhile is drawn.
_BEAT = 0.2


@dataclass(slots=True)
class _Asked:
    """A question under way, and what is done when it is answered with yes."""

    question: str
    action: Action


class Screen:
    """Draws what a Looker sees and does what keys say.

    Args:
        looker: Sees and acts.
        console: The terminal.
        database: What the database is called, without a password.
    """

    def __init__(self, looker: Looker, console: Console, database: str) -> None:
        self._looker = looker
        self._console = console
        self._database = database
        self._chosen = 0
        self._asked: _Asked | None = None

    def run(self, read: ReadKey) -> None:
        """Go on until `q` is pressed."""
        with Live(console=self._console, screen=True, auto_refresh=False, redirect_stdout=False) as live:
            key = ""
            while key not in ("q", "Q") or self._asked is not None:
                if key:
                    self._press(key)
                live.update(self._frame(), refresh=True)
                key = read(_BEAT)

    def _frame(self) -> Frame:
        self._chosen = max(0, min(self._chosen, len(self._looker.seen.failures) - 1))
        return Frame(
            self._looker.seen,
            database=self._database,
            chosen=self._chosen,
            question=self._asked.question if self._asked else None,
            height=self._console.height,
        )

    def _press(self, key: str) -> None:
        if self._asked is not None:
            if key in ("y", "Y"):
                self._looker.do(self._asked.action)
            self._asked = None
            return
        failures = self._looker.seen.failures
        match key:
            case "p":
                self._looker.do(_pause)
            case "r":
                self._looker.do(_resume)
            case "up" | "k":
                self._chosen -= 1
            case "down" | "j":
                self._chosen += 1
            case "f" if failures:
                id = failures[self._chosen].id
                self._asked = _Asked(f"Put request {id} back in the queue?", partial(_requeue, ids=[id]))
            case "F" if failures:
                ids = [item.id for item in failures]
                self._asked = _Asked(f"Put {len(ids)} failed requests back in the queue?", partial(_requeue, ids=ids))


def _pause(browser: Browser) -> str:
    browser.pause(None, REASON)
    return "Everything is paused: r resumes."


def _resume(browser: Browser) -> str:
    return "Resumed." if browser.resume() else "Nothing was paused."


def _requeue(browser: Browser, ids: list[int]) -> str:
    return f"Requeued {browser.requeue(ids)} of {len(ids)}."


@contextmanager
def ending_well() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the view as Ctrl+C does, so that the terminal is put back."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
