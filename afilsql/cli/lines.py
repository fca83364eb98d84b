"""How a message looks while its conversation is followed: on a terminal, as a line, as JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from afilsql import plain
from afilsql.display import clean, print_json

Row = Mapping[str, Any]

#: Arrow and word of each direction, and the style of both.
_WAYS = {True: ("→", "->", "to", "green"), False: ("←", "<-", "from", "cyan"), None: ("·", "--", "with", "yellow")}
#: What a text on a terminal is indented by, below its time; and the least width it is wrapped to.
_INDENT = " " * 9
_WIDTH_LEAST = 20


def time_of(row: Row) -> datetime:
    """When the message was written as the API says, else when it was stored (UTC)."""
    found: datetime = row["dated_at"] or row.get("seen_at") or row["updated_at"]
    return found


def shower(console: Console, *, json: bool) -> Callable[[Row], None]:
    """Return what shows a message: coloured and wrapped on a terminal, else a line, or a line of JSON."""
    if json:
        return json_line
    if console.is_terminal:
        return Terminal(console)
    return line


def json_line(row: Row) -> None:
    """Print a message as one line of JSON."""
    print_json(dict(row), indent=None)
    sys.stdout.flush()


def line(row: Row) -> None:
    """Print a message as one line: time, direction, who, text, and in brackets what became of it."""
    arrow, word, _ = _way(row, sys.stdout.encoding)
    text = _text(row)
    status = f" [{row['status']}]" if row["sent"] and row["status"] else ""
    told = plain.escaped(f"{row['destination']}: {'(no text)' if text is None else text}{status}")
    print(f"{time_of(row):%Y-%m-%d %H:%M:%S} {arrow} {word} {told}", flush=True)


class Terminal:
    """Prints a message as a heading and its text below, indented and wrapped; a new day gets a line of its own."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._day: date | None = None

    def __call__(self, row: Row) -> None:
        at = time_of(row)
        if at.date() != self._day:
            self._day = at.date()
            self._console.print(Text(f"{self._day} (UTC)", style="bold"))
        arrow, word, style = _way(row, self._console.encoding)
        heading = Text.assemble((f"{at:%H:%M:%S} ", "dim"), (f"{arrow} {word} ", style), _one_line(row["destination"]))
        if row["sent"] and row["status"]:
            heading.append(f"  {_one_line(row['status'])}", style="dim")
        self._console.print(heading, overflow="fold")
        text = _text(row)
        body = Text("(no text)", style="dim") if text is None else clean(text)
        width = max(_WIDTH_LEAST, self._console.width - len(_INDENT))
        for part in body.wrap(self._console, width, overflow="fold"):
            self._console.print(Text(_INDENT) + part, soft_wrap=True)


def _way(row: Row, encoding: str | None) -> tuple[str, str, str]:
    arrow, ascii_arrow, word, style = _WAYS[row["sent"]]
    return arrow if (encoding or "").lower().startswith("utf") else ascii_arrow, word, style


def _one_line(text: str | None) -> str:
    return plain.escaped(text or "")


def _text(row: Row) -> str | None:
    """The text with its line breaks as the screen knows them."""
    text: str | None = row["message"]
    return text.replace("\r\n", "\n").replace("\r", "\n") if text else None
