"""The line with counts that a worker keeps below its log on a terminal."""

from __future__ import annotations

from typing import IO, cast

from rich.console import Console
from rich.live import Live
from rich.text import Text

from afilsql.delivery.events import Claimed, Delivered, Event
from afilsql.logstream import TextSink


class LiveLine:
    """A sink that prints lines above the line, and draws the line anew four times a second.

    The terminal is touched by the log's thread alone: one that is halted, as by Ctrl+S, halts no delivery.
    """

    every: float | None = 0.25

    def __init__(self, terminal: TextSink) -> None:
        self._counts: dict[str, int] = {}
        self._flying = 0
        self._console = Console(file=cast(IO[str], terminal), highlight=False)  # it has all that rich uses
        self._live = Live(
            get_renderable=self._line,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def watch(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, Claimed):
            self._flying += len(event.ids)
        elif isinstance(event, Delivered):
            self._flying -= 1
            self._counts[event.kind] = self._counts.get(event.kind, 0) + 1

    def write(self, text: str) -> None:
        """Print above the line."""
        self._live.start()
        self._console.print(Text.from_ansi(text), soft_wrap=True)

    def tick(self) -> None:
        """Draw the line."""
        self._live.start()
        self._live.refresh()

    def close(self) -> None:
        """Take the line away."""
        self._live.stop()

    def _line(self) -> Text:
        done = "  ".join(f"{kind} {count}" for kind, count in tuple(self._counts.items()))
        return Text(f"in flight {self._flying}  {done}  (Ctrl+C stops)", style="bold")
