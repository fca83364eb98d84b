"""One frame of the view: what was seen, laid out for a terminal of any size. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from afilsql import plain
from afilsql.outbox.browse import Overview
from afilsql.outbox.records import Item
from afilsql.top.state import Seen

BARS, BARS_ASCII = "▁▂▃▄▅▆▇█", ".:-=+*#@"
KEYS = "p pause  r resume  ↑↓ choose  f requeue it  F requeue all listed  q quit"
KEYS_ASCII = KEYS.replace("↑↓", "j k")
#: Columns from which accounts and workers stand side by side, and rows of a frame where the terminal tells none.
WIDE, NATURAL_HEIGHT = 110, 60
#: Seconds after which a worker counts as gone, and a message as late.
_DEAD_SECONDS, _LATE_SECONDS = 60, 300


#: Columns between two, and of a name so many at least.
_GAP, _SHORTEST = 2, 6
#: How the outbox begins to tell of an outage.
_AWAY = "the outbox database cannot be used right now: "
_NUMBERS, _TIMES = ("waiting", "sending", "scheduled", "oldest", "id"), ("failed", "heard of")
#: A text, or a text and its style.
_Cell = str | tuple[str, str]


class Frame:
    """A frame; as high as the terminal at most.

    Args:
        seen: What is shown.
        database: What the database is called, without a password.
        chosen: Which of the failures is.
        question: Asked of the person, in place of the keys.
        height: Lines there are; None is as many as are needed.
        keys: Show the keys.
    """

    def __init__(
        self,
        seen: Seen,
        *,
        database: str,
        chosen: int = 0,
        question: str | None = None,
        height: int | None = None,
        keys: bool = True,
    ) -> None:
        self._seen = seen
        self._database = database
        self._chosen = chosen
        self._question = question
        self._height = height or NATURAL_HEIGHT
        self._keys = keys

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._content(options), options):
            # What rich cuts ends in an ellipsis, which not every terminal has.
            yield Segment(segment.text.replace("…", "~"), segment.style) if options.ascii_only else segment

    def _content(self, options: ConsoleOptions) -> RenderableType:
        width, ascii_only = options.max_width, options.ascii_only
        seen, overview = self._seen, self._seen.overview
        top: list[RenderableType] = [_title(seen, self._database, width)]
        if seen.trouble is not None:
            top.append(_line(_trouble(seen, seen.trouble), "bold red"))
        bottom = self._footer(ascii_only)
        if overview is None:
            return Group(*top, *([] if seen.trouble else [Text("Looking ...")]), *bottom)
        top += [_counts(overview), *_rates(seen, width, BARS_ASCII if ascii_only else BARS)]
        rows = max(3, self._height - len(top) - len(bottom) - 1)
        side_by_side = width >= WIDE
        accounts, workers = _account_rows(overview), _worker_rows(overview)
        # A third for the failures at least; each table has a line of headings.
        upper = rows - max(3, min(rows // 2, 2 + len(seen.failures)))
        room = max(1, upper - 1) if side_by_side else max(1, upper - 2)
        for_workers = room if side_by_side else max(1, min(len(workers), room // 3))
        for_accounts = room if side_by_side else max(1, room - for_workers)
        natural = sum(w + _GAP for w in _widths(("worker", "heard of"), workers))
        of_workers = min(natural, width // 3) if side_by_side else width
        of_accounts = width - of_workers - _GAP if side_by_side else width
        headings = ("account", "waiting", "sending", "scheduled", "oldest", "state")
        left = _table(headings, accounts, for_accounts, of_accounts)
        right = _table(("worker", "heard of"), workers, for_workers, of_workers)
        if side_by_side:
            grid = Table.grid(padding=(0, _GAP, 0, 0))
            grid.add_column(width=of_accounts)
            grid.add_column(width=of_workers)
            grid.add_row(left, right)
            middle: list[RenderableType] = [grid]
            used = 1 + max(min(len(accounts), room), min(len(workers), room), 1)
        else:
            middle = [left, right]
            used = 2 + max(1, min(len(accounts), for_accounts)) + max(1, min(len(workers), for_workers))
        failures = _failures(seen.failures, self._chosen if self._keys else -1, max(1, rows - used - 1), width)
        return Group(*top, Text(""), *middle, failures, *bottom)

    def _footer(self, ascii_only: bool) -> list[RenderableType]:
        lines: list[RenderableType] = [_line(self._seen.said, "cyan")] if self._seen.said else []
        if self._question is not None:
            return [*lines, _line(f"{self._question} (y/n)", "bold reverse")]
        return [*lines, _line(KEYS_ASCII if ascii_only else KEYS, "dim")] if self._keys else lines


def _title(seen: Seen, database: str, width: int) -> Text:
    title = Text(no_wrap=True, overflow="ellipsis", end="\n")
    title.append("afilsql top", "bold")
    if seen.overview is not None and seen.overview.paused:
        title.append("  PAUSED", "bold yellow")
    time = f"{seen.at:%H:%M:%S} UTC"
    room = max(8, width - title.cell_len - len(time) - 4)
    shown = plain.replaced(database)
    title.append(f"  {shown if len(shown) <= room else shown[: room - 1] + '…'}", "dim")
    title.append(" " * max(2, width - title.cell_len - len(time)) + time)
    return title


def _trouble(seen: Seen, why: str) -> str:
    kept = f" (last seen {seen.looked_at:%H:%M:%S})" if seen.looked_at is not None else ""
    return f"Database away{kept}: {why.removeprefix(_AWAY)}"


def _line(text: str, style: str) -> Text:
    return Text(plain.escaped(text), style=style, no_wrap=True, overflow="ellipsis")


def _counts(overview: Overview) -> Text:
    waiting = sum(d.waiting for d in overview.depths)
    sending = sum(d.sending for d in overview.depths)
    scheduled = sum(d.scheduled for d in overview.depths)
    oldest = max((d.oldest_seconds for d in overview.depths if d.oldest_seconds is not None), default=None)
    parts = [
        (f"{waiting:,} waiting", "bold"),
        (f"oldest {_age(oldest)}" if oldest is not None else "", "red" if (oldest or 0) > _LATE_SECONDS else ""),
        (f"{sending:,} sending", ""),
        (f"{len(overview.held)} closed" if overview.held else "", "red"),
        (f"{overview.uncertain:,} uncertain", "yellow" if overview.uncertain else ""),
        (f"{scheduled:,} scheduled", ""),
    ]
    line = Text("   ").join(Text(text, style=style) for text, style in parts if text)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _rates(seen: Seen, width: int, bars: str) -> Iterable[Text]:
    for name, counts, style in (("sent", seen.sent, "green"), ("failed", seen.failed, "red")):
        head = f"{name:<6} {_a_minute(counts, seen.at.second):>7,}/min "
        shown = counts[-max(1, min(len(counts), width - len(head) - 1)) :]
        yield Text.assemble((head, "bold"), (sparkline(shown, bars), style), no_wrap=True)


def _a_minute(counts: Sequence[int], second: int) -> int:
    """Of the latest minute: what has ended in this one, and of the one before the part that is still within it."""
    *_, before, now = (0, 0, *counts)
    return now + round(before * (60 - second) / 60)


def sparkline(counts: Sequence[int], bars: str = BARS) -> str:
    """Return a bar for each count, the highest as high as it goes; nothing is a space."""
    most = max(counts, default=0)
    return "".join(" " if n <= 0 else bars[max(0, -(-n * len(bars) // most) - 1)] for n in counts)


def _account_rows(overview: Overview) -> list[Sequence[_Cell]]:
    closed = dict(overview.held)
    known = {d.account: d for d in overview.depths}
    # What is wrong first, then what waits longest.
    names = sorted(
        {*closed, *known},
        key=lambda a: (a not in closed, -((known[a].oldest_seconds or 0) if a in known else 0), a),
    )
    rows: list[Sequence[_Cell]] = []
    for name in names:
        d = known.get(name)
        counts = (d.waiting, d.sending, d.scheduled) if d else (0, 0, 0)
        numbers = (*(f"{n:,}" for n in counts), _age(d.oldest_seconds if d else None))
        state = (closed[name], "red") if name in closed else ("open", "")
        rows.append((name, *numbers, state))
    return rows


def _worker_rows(overview: Overview) -> list[Sequence[_Cell]]:
    return [
        (name, (f"{_age(seconds)} ago", "red" if seconds > _DEAD_SECONDS else "green"))
        for name, seconds in overview.workers
    ]


def _table(headings: Sequence[str], rows: Sequence[Sequence[_Cell]], most: int, width: int) -> Table:
    """A table `most` rows high; of what is left out the last row tells."""
    shown = rows if len(rows) <= most else rows[: most - 1]
    table = _empty_table(headings, shown, width)
    for row in shown:
        _add(table, row)
    if not rows:
        table.add_row(Text("none", style="dim"))
    elif len(shown) < len(rows):
        table.add_row(Text(f"… {len(rows) - len(shown)} more", style="dim"))
    return table


def _failures(items: Sequence[Item], chosen: int, most: int, width: int) -> Table:
    """The failures around the one that is chosen."""
    first = max(0, min(chosen - most + 1, len(items) - most))
    rows: list[Sequence[_Cell]] = [
        (
            f"{item.completed_at:%m-%d %H:%M:%S}" if item.completed_at else "",
            str(item.id),
            item.account,
            item.method,
            item.parameters.get("destination", ""),
            item.error_code or "",
        )
        for item in items[first : first + most]
    ]
    table = _empty_table(("failed", "id", "account", "method", "destination", "code"), rows, width)
    for n, row in enumerate(rows, start=first):
        _add(table, row, style="reverse" if n == chosen else "")
    if not rows:
        table.add_row(Text("none", style="dim"))
    return table


def _empty_table(headings: Sequence[str], rows: Sequence[Sequence[_Cell]], width: int) -> Table:
    """A table without lines. Where `width` is little, names and reasons are cut, never a number or a time."""
    widths = _widths(headings, rows)
    may_be_cut = [n for n, heading in enumerate(headings) if heading not in (*_NUMBERS, *_TIMES)]
    room = width - _GAP * len(headings)
    while sum(widths) > room and widths[n := max(may_be_cut, key=widths.__getitem__)] > _SHORTEST:
        widths[n] -= 1
    table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="bold underline")
    for heading, size in zip(headings, widths, strict=True):
        right = heading in _NUMBERS
        table.add_column(heading, justify="right" if right else "left", no_wrap=True, overflow="ellipsis", width=size)
    return table


def _widths(headings: Sequence[str], rows: Sequence[Sequence[_Cell]]) -> list[int]:
    return [
        max(cell_len(heading), *(cell_len(plain.escaped(_text(row[n]))) for row in rows), 0)
        for n, heading in enumerate(headings)
    ]


def _add(table: Table, row: Sequence[_Cell], style: str = "") -> None:
    cells = (value if isinstance(value, tuple) else (value, "") for value in row)
    table.add_row(*(Text(plain.escaped(text), style=of_cell) for text, of_cell in cells), style=style)


def _text(cell: _Cell) -> str:
    return cell[0] if isinstance(cell, tuple) else cell


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = int(seconds)
    if whole < 120:
        return f"{whole}s"
    if whole < 7200:
        return f"{whole // 60}min"
    return f"{whole // 3600}h" if whole < 172_800 else f"{whole // 86_400}d"
