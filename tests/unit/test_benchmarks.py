"""The benchmarks' own arithmetic: no figure is measured here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks import plots, report
from tests.benchmarks.__main__ import BENCHMARKS
from tests.benchmarks.found import Found, Row
from tests.benchmarks.goals import EMBEDDED, GOALS, TSQL, Goal
from tests.benchmarks.run import Run
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage
from tests.benchmarks.throughput import Rate

FIGURES = st.lists(st.floats(0.001, 1e9), min_size=1, max_size=50)
AT_LEAST = Goal("a", "b", "speed: rows/s", "a peer", EMBEDDED, at_least=0.8)
AT_MOST = Goal("a", "c", "time: ms", "", EMBEDDED, at_most=150, decimals=0)
BETWEEN = Goal("a", "d", "memory: MB", "before", TSQL, at_least=0.95, at_most=1.05)
MACHINE: dict[str, Any] = {"cores": 2}


def found(goal: Goal, *measured: float, against: tuple[float, ...] = (), **more: Any) -> Found:
    return Found(goal.name, goal.database, Spread(measured), Spread(against) if against else None, **more)


def test_the_median_of_an_even_number_is_between_the_middle_two() -> None:
    assert Spread.of([4, 1, 3, 2]).median == 2.5
    assert Spread.of([9, 1, 3]).median == 3


@given(FIGURES)
def test_median_and_percentiles_lie_within_what_was_measured(values: list[float]) -> None:
    found = Spread.of(values)
    for figure in (found.median, found.percentile(1), found.percentile(50), found.percentile(99)):
        assert found.lowest <= figure <= found.highest
    assert found.percentile(100) == found.highest
    assert found.percentile(99) in values


def test_a_percentile_is_a_value_that_was_measured_and_not_one_made_up_between() -> None:
    hundred = Spread.of(range(1, 101))
    assert (hundred.percentile(50), hundred.percentile(99)) == (50, 99)
    assert Spread.of([1, 2, 3]).percentile(99) == 3


def test_there_is_no_spread_of_nothing_no_ratio_to_nothing_and_no_percentile_zero() -> None:
    for attempt in (lambda: Spread(()), lambda: Spread((1,)).over(Spread((0,))), lambda: Spread((1,)).percentile(0)):
        with pytest.raises(ValueError):
            attempt()


def test_a_figure_is_the_ratio_of_the_medians_or_the_median_where_nothing_is_compared() -> None:
    assert found(AT_LEAST, 80, 90, 1000, against=(100, 1, 200)).figure == 0.9
    assert found(AT_MOST, 80, 90, 1000).figure == 90


@pytest.mark.parametrize(
    ("goal", "figure", "reached"),
    [
        (AT_LEAST, 0.8, True),
        (AT_LEAST, 0.79, False),
        (AT_MOST, 150, True),
        (AT_MOST, 150.1, False),
        (BETWEEN, 0.95, True),
        (BETWEEN, 1.05, True),
        (BETWEEN, 0.94, False),
        (BETWEEN, 1.06, False),
    ],
)
def test_a_bound_itself_is_reached_and_what_is_beyond_it_is_not(goal: Goal, figure: float, reached: bool) -> None:
    assert goal.reached(figure) is reached


@given(st.sampled_from([AT_LEAST, AT_MOST, BETWEEN]), st.floats(0.001, 1e6))
def test_a_plot_shows_a_goal_as_reached_exactly_where_the_table_does(goal: Goal, figure: float) -> None:
    row = Row(goal, found(goal, figure, against=(1.0,) if goal.against else ()))
    assert (plots.room(row) >= 1) is row.reached


def test_a_row_that_was_not_measured_is_neither_reached_nor_missed_and_says_why() -> None:
    row = Row(AT_LEAST, None, "no T-SQL engine")
    assert row.reached is None
    text = report.markdown([row])
    assert "no T-SQL engine" in text
    assert not {"yes", "no"} & {cell.strip() for cell in text.split("|")}


def test_every_benchmark_has_a_goal_and_every_goal_a_benchmark() -> None:
    assert {goal.benchmark for goal in GOALS} == set(BENCHMARKS)


def test_no_two_goals_are_taken_for_each_other() -> None:
    keys = [(goal.benchmark, goal.name, goal.database) for goal in GOALS]
    assert len(keys) == len(set(keys))


def test_every_goal_has_a_bound_and_a_unit() -> None:
    for goal in GOALS:
        assert (goal.at_least, goal.at_most) != (None, None)
        assert ": " in goal.what or goal.what.endswith(" a message"), goal


def test_numbers_are_shown_with_three_digits_and_large_ones_whole() -> None:
    shown = [report.number(value) for value in (12345.6, 123.4, 12.34, 1.234, 0.12345, -5.5)]
    assert shown == ["12,346", "123", "12.3", "1.23", "0.123", "-5.50"]


def test_the_spread_is_shown_beside_the_median_where_there_is_more_than_one_value() -> None:
    assert report.spread(Spread.of([1000, 1200, 1100])) == "1,100 (1,000–1,200)"
    assert report.spread(Spread.of([1000])) == "1,000"
    assert report.spread(None) == ""


def test_the_table_is_markdown_with_one_line_for_each_row() -> None:
    rows = [
        Row(AT_LEAST, found(AT_LEAST, 75, 85, 80, against=(100, 101, 99), notes=("on a slow day",))),
        Row(AT_MOST, found(AT_MOST, 151)),
        Row(BETWEEN, found(BETWEEN, 70, against=(70,))),
    ]
    lines = report.markdown(rows).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:5]]
    assert cells == [
        ["speed: rows/s", "embedded", "80.0 (75.0–85.0)", "a peer 100 (99.0–101)", "0.80", "≥ 0.80 ×", "yes"],
        ["time: ms", "embedded", "151", "", "", "≤ 150", "no"],
        ["memory: MB", "T-SQL", "70.0", "before 70.0", "1.00", "0.95–1.05 ×", "yes"],
    ]
    assert set(lines[1]) <= set("|-: ")
    assert lines[-1] == "- speed (embedded): on a slow day"


def test_a_saved_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    rows = []
    for n, goal in enumerate(GOALS):
        against = (2.0, 3.0) if goal.against else ()
        curve = ((1.0, 2.0), (3.0, 4.0))
        measured = replace(found(goal, 1.0, 2.5, against=against), notes=("a note",), curve=curve)
        rows.append(Row(goal, None, "failed") if n % 5 == 0 else Row(goal, measured))
    path = tmp_path / "new folder" / "results.json"
    report.save(path, MACHINE, rows)
    assert report.load(path) == (MACHINE, rows)


def test_a_run_keeps_the_rows_of_an_engine_that_is_not_there_and_makes_up_no_figures() -> None:
    run = Run(BENCHMARKS, (EMBEDDED, TSQL), keep=lambda rows: None)
    run.without(TSQL, "no T-SQL engine")
    missing = {row.goal.database: row.missing for row in run.rows}
    assert missing == {EMBEDDED: "not measured", TSQL: "no T-SQL engine"}
    assert all(row.found is None for row in run.rows)
    assert [row.goal for row in run.rows] == list(GOALS)


def broken(stage: Stage) -> Iterator[Found]:
    """A benchmark that fails after its first row."""
    yield Found("finished", stage.database, Spread((1.0,)), Spread((1.0,)))
    raise RuntimeError("the queue ran empty")


def whole(stage: Stage) -> Iterator[Found]:
    """One that does not."""
    yield Found("help", stage.database, Spread((1.0,)), Spread((1.0,)))
    yield Found("status", stage.database, Spread((1.0,)), Spread((1.0,)))


def test_a_benchmark_that_fails_leaves_what_it_found_and_stops_no_other() -> None:
    kept = list[list[Row]]()
    run = Run({"growth": broken, "startup": whole}, (EMBEDDED,), keep=lambda rows: kept.append(list(rows)))
    run.on(Stage(EMBEDDED, "sqlite"))
    assert {row.goal.name: row.missing for row in run.rows} == {
        "finished": "",
        "waiting": "failed",
        "help": "",
        "status": "",
    }
    assert kept[0][0].found is not None and kept[-1] == run.rows, "each benchmark's rows are kept once it is over"


def test_ctrl_c_ends_the_run_also_where_the_driver_turns_it_into_an_error() -> None:
    run = Run({"growth": broken, "startup": whole}, (EMBEDDED,), keep=lambda rows: None, is_stopped=lambda: True)
    with pytest.raises(KeyboardInterrupt):
        run.on(Stage(EMBEDDED, "sqlite"))
    assert all(row.found is None for row in run.rows if row.goal.benchmark == "startup")


def test_processor_time_is_told_for_each_message_and_only_of_those_who_spent_some() -> None:
    assert Rate(1000, 2.0, worker=0.9, api=0.2).shares == "worker 0.90 ms, API 0.20 ms"
    assert Rate(1000, 2.0).per_second == 500
