"""afil.notifications: which notifications are in order, and why the others are not."""

from __future__ import annotations

import pytest

from tests.tsql.conftest import Notifications

pytestmark = pytest.mark.tsql

ROW = "INSERT INTO dbo.purchase (id, phone) VALUES ({}, '346')"


def test_the_definition_is_shown_as_it_was_given(notifications: Notifications) -> None:
    given = {
        "on": "update, insert", "columns": "state, total", "when": "state = 'it''s'", "platform": "Telegram",
        "platformid": "{id}", "destination": "{phone}", "message": "it's {{ {state} ☕", "type": "image",
        "fileurl": "{note}", "dedup": "{id}-{state}", "account": "shop", "priority": 3,
    }  # fmt: skip
    notifications.create(**given)
    row = notifications.query("SELECT * FROM afil.notifications")[0]
    assert (row.name, row.table_name, row.trigger_name, row.state, row.reason) == (
        "t", "dbo.purchase", "dbo.afil_t", "ok", None,
    )  # fmt: skip
    assert (row.on_insert, row.on_update, row.on_delete) == (True, True, False)
    assert row.changed_columns == given["columns"] and row.condition == given["when"] and row.platform == "telegram"
    for name in ("platformid", "destination", "message", "type", "fileurl", "dedup", "account", "priority"):
        assert getattr(row, name) == given[name]
    assert row.created_by and row.created_at


@pytest.mark.parametrize(
    "uses",
    [{"message": "{state}"}, {"when": "state = 'x'"}, {"destination": "state"}, {"dedup": "{state}"},
     {"platformid": "{state}"}, {"on": "insert, update", "columns": "state"},
     {"on": "update, insert", "message": "x{old.state}"}],
    ids=lambda uses: next(iter(uses)),
)  # fmt: skip
def test_a_renamed_column_breaks_the_notification_and_not_the_statements(
    notifications: Notifications, uses: dict[str, object]
) -> None:
    notifications.create(**uses)
    notifications.query("EXEC sp_rename 'dbo.purchase.state', 'status', 'COLUMN'")
    notifications.query(ROW.format(1))
    notifications.query("BEGIN TRANSACTION; " + ROW.format(2) + "; COMMIT TRANSACTION;")
    assert len(notifications.query("SELECT 1 FROM dbo.purchase")) == 2
    assert notifications.outbox() == []
    assert notifications.failures() == ["t: a column it uses is gone"]  # once a minute
    state, reason = notifications.state()
    assert state == "broken" and "'state' is not a column of the table" in str(reason)


def test_the_failure_is_logged_again_after_a_minute(notifications: Notifications) -> None:
    notifications.create(message="{state}")
    notifications.query("EXEC sp_rename 'dbo.purchase.state', 'status', 'COLUMN'")
    notifications.query(ROW.format(1))
    notifications.query("UPDATE afil.event_log SET logged_at = DATEADD(SECOND, -61, logged_at)")
    notifications.query(ROW.format(2))
    assert len(notifications.failures()) == 2


def test_a_column_renamed_back_is_in_order_again(notifications: Notifications) -> None:
    notifications.create(message="{id} {state}")
    notifications.query("EXEC sp_rename 'dbo.purchase.state', 'status', 'COLUMN'")
    notifications.query(ROW.format(1))
    notifications.query("EXEC sp_rename 'dbo.purchase.status', 'state', 'COLUMN'")
    assert notifications.state() == ("ok", None)
    notifications.query(ROW.format(2))
    assert notifications.messages() == ["2 "]


def test_a_dropped_column_breaks_the_notification_and_not_the_statements(
    notifications: Notifications, babelfish: bool
) -> None:
    notifications.create(message="{state}")
    notifications.query("ALTER TABLE dbo.purchase DROP COLUMN state")
    notifications.query(ROW.format(1))
    # Babelfish drops the trigger with the column.
    assert notifications.failures() == ([] if babelfish else ["t: a column it uses is gone"])
    assert notifications.outbox() == []
    state, reason = notifications.state()
    assert state == "broken" and "'state' is not a column" in str(reason)


def test_a_column_more_or_a_wider_one_changes_nothing(notifications: Notifications) -> None:
    notifications.create(message="{id} {note}")
    notifications.query("ALTER TABLE dbo.purchase ADD extra int NULL")
    notifications.query(ROW.format(1))
    assert notifications.state() == ("ok", None)
    assert notifications.messages() == ["1 "]


def test_a_table_that_is_gone_is_said(notifications: Notifications) -> None:
    notifications.create()
    notifications.query("DROP TABLE dbo.purchase")
    assert notifications.state() == ("broken", "the table is gone")


def test_a_trigger_that_is_gone_is_missing(notifications: Notifications) -> None:
    notifications.create()
    notifications.query("DROP TRIGGER dbo.afil_t")
    state, reason = notifications.state()
    assert state == "missing" and "EXEC afil.refresh_notification" in str(reason)


def test_a_disabled_trigger_is_said(notifications: Notifications) -> None:
    notifications.create()
    notifications.query("DISABLE TRIGGER dbo.afil_t ON dbo.purchase")
    state, reason = notifications.state()
    assert state == "disabled" and "ENABLE TRIGGER" in str(reason)


def test_a_trigger_edited_by_hand_is_outdated(notifications: Notifications) -> None:
    notifications.create()
    notifications.query("DROP TRIGGER dbo.afil_t")
    notifications.query("CREATE TRIGGER dbo.afil_t ON dbo.purchase AFTER INSERT AS BEGIN SET NOCOUNT ON; END")
    assert notifications.state()[0] == "outdated"
