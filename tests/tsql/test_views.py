"""The views: what each shows, and that those of a few rows do not read the many."""

from __future__ import annotations

import re
from typing import Any

import pytest

from afilsql.sqlfiles import sql_objects
from tests.tsql.rows import add, many

pytestmark = pytest.mark.tsql

VIEWS = [o.name for o in sql_objects() if o.kind == "views"]
STATUSES = ("queued", "scheduled", "sending", "sent", "failed", "uncertain", "cancelled")


def plan(connection: Any, sql: str) -> str:
    """What Babelfish did to run it."""
    cursor = connection.cursor()
    cursor.execute("SET BABELFISH_STATISTICS PROFILE ON")
    try:
        cursor.execute(sql)
        text = ""
        while True:
            rows = cursor.fetchall() if cursor.description else []
            if rows and cursor.description[0][0] == "QUERY PLAN":
                text += "\n".join(r[0] for r in rows) + "\n"
            if not cursor.nextset():
                return text
    finally:
        connection.cursor().execute("SET BABELFISH_STATISTICS PROFILE OFF")


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_can_be_read(query: Any, view: str) -> None:
    query(f"SELECT * FROM afil.{view}")


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        ("all_items", STATUSES),
        ("unsent_items", ("queued", "scheduled", "sending")),
        ("sent_items", ("sent",)),
        ("failed_items", ("failed",)),
        ("uncertain_items", ("uncertain",)),
    ],
)
def test_a_view_of_requests_shows_its_states_and_no_others(query: Any, view: str, shown: tuple[str, ...]) -> None:
    for status in STATUSES:
        add(query, status)
    assert {r.status for r in query(f"SELECT * FROM afil.{view}")} == set(shown)


def test_all_items_carries_the_names_of_database_mail(query: Any) -> None:
    for status in ("sent", "failed", "queued"):
        add(query, status)
    for row in query("SELECT * FROM afil.all_items"):
        assert (row.sent_status, row.send_request_date, row.send_request_user) == (
            row.status, row.created_at, row.created_by,
        )  # fmt: skip
        assert row.sent_date == (row.completed_at if row.status == "sent" else None)
        assert row.last_mod_date == (row.completed_at or row.due_at)


def test_item_counts_counts_each_state_and_says_since_when_the_oldest_is_due(query: Any) -> None:
    oldest = add(query, days=2)
    add(query)
    add(query, "failed")
    rows = {r.status: r for r in query("SELECT * FROM afil.item_counts")}
    assert {s: r.items for s, r in rows.items()} == {"queued": 2, "failed": 1}
    assert rows["failed"].oldest_due_at is None
    assert rows["queued"].oldest_due_at == query("SELECT due_at FROM afil.outbox WHERE id = ?", oldest)[0][0]


def test_item_counts_counts_every_request_once_in_whatever_state(query: Any) -> None:
    for status in STATUSES:
        add(query, status)
    assert {r.status: r.items for r in query("SELECT * FROM afil.item_counts")} == dict.fromkeys(STATUSES, 1)


def test_workers_says_who_was_heard_of_within_a_minute(query: Any) -> None:
    query(
        "INSERT INTO afil.worker (name, seen_at) VALUES (N'a', DATEADD(SECOND, -30, SYSUTCDATETIME())), "
        "(N'b', DATEADD(SECOND, -90, SYSUTCDATETIME()))"
    )
    rows = query("SELECT name, is_alive, seen_seconds_ago FROM afil.workers ORDER BY name")
    assert [(r.name, r.is_alive) for r in rows] == [("a", True), ("b", False)]
    assert 30 <= rows[0].seen_seconds_ago < 60


def test_held_accounts_leaves_out_those_released(query: Any) -> None:
    query(
        "INSERT INTO afil.account (name, held_at, held_reason) "
        "VALUES (N'a', SYSUTCDATETIME(), N'x'), (N'b', NULL, NULL)"
    )
    assert [r.name for r in query("SELECT * FROM afil.held_accounts")] == ["a"]


def test_views_of_a_few_rows_read_their_filtered_indexes_and_not_fifty_thousand_sent_rows(
    connection: Any, query: Any
) -> None:
    if "babelfish" not in query("SELECT @@VERSION")[0][0].lower():
        pytest.skip("reads a plan as Babelfish prints it")
    many(query, 50000, "sent", days=2)
    for status in ("queued", "scheduled", "sending", "failed", "uncertain"):
        add(query, status)
    for view, indexes in {
        "queue_status": {"queued", "scheduled", "sending", "finished"},
        "unsent_items": {"queued", "scheduled", "sending", "check"},
        "failed_items": {"finished"},
        "uncertain_items": {"finished"},
    }.items():
        text = plan(connection, f"SELECT * FROM afil.{view}")
        assert set(re.findall(r"Index (?:Only )?Scan (?:using|on) ix_outbox_(\w+?)outbox", text)) == indexes, text
        assert "Seq Scan" not in text, text
    login = plan(connection, "SELECT * FROM afil.my_items")
    assert "ix_outbox_created_by_created_at" in login, login
    assert "Seq Scan" not in login, login
