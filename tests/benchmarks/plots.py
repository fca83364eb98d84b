"""The plots of a run, drawn from its rows alone, so that a saved run can be drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.found import Found, Row
from tests.benchmarks.goals import EMBEDDED, Database
from tests.benchmarks.report import number
from tests.benchmarks.spread import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS: dict[Database, str] = {"embedded": "#1f6fb2", "T-SQL": "#d9822b"}
_PEER, _GOAL = "#8a8f98", "#2f3437"


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw what there are figures for, as PNG files; return them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, (plot, wanted, height) in _PLOTS.items():
        chosen = [row for row in rows if row.found is not None and (not wanted or row.goal.benchmark == wanted)]
        if not chosen:
            continue
        figure, axes = pyplot.subplots(figsize=(8, height or 1.0 + 0.28 * len(chosen)), layout="constrained")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        plot(axes, chosen)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=110, metadata={"Software": None})
        pyplot.close(figure)
        drawn.append(path)
    return drawn


def _found(row: Row) -> Found:
    assert row.found is not None
    return row.found


def room(row: Row) -> float:
    """Return how many times as good as asked for a figure is: 1 just reaches the goal, more is better.

    Between two bounds it is how far the figure is from the nearer one, in the same sense.
    """
    figure, goal = max(_found(row).figure, 1e-9), row.goal
    ways = [figure / goal.at_least] if goal.at_least else []
    ways += [goal.at_most / figure] if goal.at_most else []
    return min(ways)


def _goals(axes: Axes, rows: Sequence[Row]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    names = []
    for place, row in enumerate(rows):
        goal, value = row.goal, room(row)
        names.append(f"{goal.what}, {goal.database}" + (f", against {goal.against}" if goal.against else ""))
        colour = _COLOURS[goal.database]
        axes.plot([1, value], [place, place], color=colour, linewidth=2.5, solid_capstyle="butt")
        if row.reached:
            axes.scatter([value], [place], s=40, marker="o", color=colour, zorder=3)
        else:
            axes.scatter([value], [place], s=40, marker="o", facecolors="white", edgecolors=colour, zorder=3)
        aside, align = (8, "left") if value >= 1 else (-8, "right")
        text = f"{number(_found(row).figure)} ({goal.to_reach})"
        axes.annotate(text, (value, place), (aside, 0), textcoords="offset points", va="center", ha=align, fontsize=7)
    axes.axvline(1, color=_GOAL, linewidth=1)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xscale("log")
    low, high = (bound([1.0, *map(room, rows)]) for bound in (min, max))
    axes.set_xlim(low / 10, high * 10)  # room for the figures beside the outermost
    marks = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
    axes.xaxis.set_major_locator(FixedLocator([mark for mark in marks if low / 2 <= mark <= high * 2]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("times as good as asked for (hollow: not reached)", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)


def _end_to_end(axes: Axes, rows: Sequence[Row]) -> None:
    bars: list[tuple[str, Spread, str]] = []
    for row in sorted(rows, key=lambda row: (row.goal.database != EMBEDDED, row.goal.name)):
        found, colour = _found(row), _COLOURS[row.goal.database]
        if row.goal.name == "one" and found.against is not None:
            bars.append(("bare requests,\nno database", found.against, _PEER))
        workers = "one worker" if row.goal.name == "one" else "two workers"
        bars.append((f"{workers},\n{row.goal.database}", found.measured, colour))
    for place, (_, rate, colour) in enumerate(bars):
        error = [[rate.median - rate.lowest], [rate.highest - rate.median]]
        axes.bar(place, rate.median, 0.6, color=colour, yerr=error, capsize=4)
        axes.annotate(number(rate.median), (place, rate.highest), (0, 4), textcoords="offset points", ha="center")
    axes.set_xticks(range(len(bars)), [name for name, _, _ in bars], fontsize=8)
    axes.margins(y=0.12)
    axes.set_ylabel("messages a second, API without latency")


def _scale(axes: Axes, rows: Sequence[Row]) -> None:
    for database, row in {row.goal.database: row for row in rows}.items():
        counts, rates = zip(*_found(row).curve, strict=True)
        axes.plot(counts, [rates[0] * n for n in counts], "--", color=_PEER, linewidth=1)
        axes.plot(counts, rates, "o-", color=_COLOURS[database], label=database)
        axes.set_xticks(counts)
    axes.set_xlabel("worker processes, 8 calls each, API with 200 ms latency (dashed: linear)")
    axes.set_ylabel("messages a second")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _response_time(axes: Axes, rows: Sequence[Row]) -> None:
    for row in rows:
        if row.goal.name == "p50":
            times, shares = zip(*_found(row).curve, strict=True)
            axes.step(times, shares, where="post", color=_COLOURS[row.goal.database], label=row.goal.database)
    for share, row in ((50, rows[0]), (99, rows[-1])):
        bound = row.goal.at_most or 0.0
        axes.plot(bound, share, "v", color=_GOAL, markersize=7)
        text = f"to reach: p{share} in {bound:g} s"
        axes.annotate(
            text,
            (bound, share),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"},
        )
    axes.set_xlabel("seconds from commit to the API, on a quiet system")
    axes.set_ylabel("% of messages")
    axes.set_xlim(0, 1.3 * max(max(row.goal.at_most or 0, _found(row).measured.highest) for row in rows))
    axes.set_ylim(0, 105)
    axes.legend(frameon=False, loc="lower right")


def _memory(axes: Axes, rows: Sequence[Row]) -> None:
    for row in rows:
        if row.goal.name == "flat":
            seconds, megabytes = zip(*_found(row).curve, strict=True)
            axes.plot([s / 60 for s in seconds], megabytes, color=_COLOURS[row.goal.database], label=row.goal.database)
    axes.set_xlim(left=0)
    axes.axhline(150, color=_GOAL, linewidth=1, linestyle="--")
    axes.annotate("to reach: 150 MB at most", (0, 150), (4, -12), textcoords="offset points", fontsize=8)
    axes.set_xlabel("minutes of working off a million waiting requests")
    axes.set_ylabel("MB of a worker")
    axes.set_ylim(0, 160)
    axes.legend(frameon=False)


#: How each is drawn, of whose rows (None: all), and how high it is in inches (None: by the rows).
_PLOTS = {
    "goals": (_goals, None, None),
    "end_to_end": (_end_to_end, "end_to_end", 3.6),
    "scale": (_scale, "scale", 3.6),
    "response_time": (_response_time, "response_time", 3.2),
    "memory": (_memory, "memory", 3.2),
}
