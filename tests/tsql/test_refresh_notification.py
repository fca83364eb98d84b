"""afil.refresh_notification: triggers are written anew from their definitions."""

from __future__ import annotations

import pytest

from tests.tsql.conftest import DriverError, Notifications

pytestmark = pytest.mark.tsql

ROW = "INSERT INTO dbo.purchase (id, phone) VALUES ({}, '346')"
LOSSES = {
    "missing": "DROP TRIGGER dbo.afil_t",
    "disabled": "DISABLE TRIGGER dbo.afil_t ON dbo.purchase",
    "outdated": "DROP TRIGGER dbo.afil_t; EXEC (N'CREATE TRIGGER dbo.afil_t ON dbo.purchase AFTER DELETE AS "
    "BEGIN SET NOCOUNT ON; END')",
}


@pytest.mark.parametrize("parameter", ["", " @name = N't'"])
@pytest.mark.parametrize("state", LOSSES)
def test_what_is_out_of_order_works_again(notifications: Notifications, state: str, parameter: str) -> None:
    text = notifications.create(message="it's {id} {{", dedup="{id}", when="id > 0", priority=1)
    notifications.query(LOSSES[state])
    assert notifications.state()[0] == state
    assert [tuple(r) for r in notifications.query("EXEC afil.refresh_notification" + parameter)] == [("t", "ok", None)]
    notifications.query(ROW.format(1))
    assert notifications.messages() == ["it's 1 {"]
    notifications.query("EXEC afil.drop_notification @name = N't'")
    again = {"message": "it's {id} {{", "dedup": "{id}", "when": "id > 0", "priority": 1}
    assert notifications.create(**again) == text


def test_one_in_order_is_written_anew_when_named(notifications: Notifications) -> None:
    notifications.create()
    notifications.query("EXEC afil.refresh_notification @name = N't'")
    notifications.query(ROW.format(1))
    assert notifications.messages() == ["Purchase 1"]


def test_a_broken_one_is_refused_by_the_columns_name(notifications: Notifications) -> None:
    notifications.create(message="{state}")
    notifications.query("EXEC sp_rename 'dbo.purchase.state', 'status', 'COLUMN'")
    with pytest.raises(
        DriverError, match=r"notification 't' cannot be written anew: @message: 'state' is not a column.*51001"
    ):
        notifications.query("EXEC afil.refresh_notification @name = N't'")
    assert notifications.query("SELECT 1 FROM sys.triggers WHERE name = N'afil_t'")


def test_one_whose_table_is_gone_is_refused(notifications: Notifications) -> None:
    notifications.create()
    notifications.query("DROP TABLE dbo.purchase")
    with pytest.raises(DriverError, match=r"'t' cannot be written anew: the table is gone.*51001"):
        notifications.query("EXEC afil.refresh_notification @name = N't'")


def test_without_a_name_the_broken_ones_are_shown_and_the_others_mended(notifications: Notifications) -> None:
    notifications.create(name="a", message="{state}")
    notifications.create(name="b", message="b{id}")
    notifications.create(name="c", message="c{id}")
    notifications.query("EXEC sp_rename 'dbo.purchase.state', 'status', 'COLUMN'")
    notifications.query("DROP TRIGGER dbo.afil_b")
    rows = notifications.query("EXEC afil.refresh_notification")
    assert [(r.name, r.state) for r in rows] == [("a", "broken"), ("b", "ok"), ("c", "ok")]
    assert "'state' is not a column" in rows[0].reason
    notifications.query(ROW.format(1))
    assert sorted(notifications.messages()) == ["b1", "c1"]


def test_a_changed_type_is_read_anew(notifications: Notifications) -> None:
    notifications.query(
        "DROP TABLE dbo.purchase; CREATE TABLE dbo.purchase (id int PRIMARY KEY, phone nvarchar(20), due date)"
    )
    notifications.create(message="{due}")
    notifications.query("DROP TABLE dbo.purchase")
    notifications.query("CREATE TABLE dbo.purchase (id int PRIMARY KEY, phone nvarchar(20), due datetime2(0))")
    assert notifications.state()[0] == "missing"
    notifications.query("EXEC afil.refresh_notification")
    notifications.query("INSERT INTO dbo.purchase VALUES (1, '346', '2026-03-09 07:08:09')")
    assert notifications.messages() == ["2026-03-09 07:08:09"]


def test_a_name_that_is_not_there_is_refused(notifications: Notifications) -> None:
    with pytest.raises(DriverError, match=r"there is no notification 'nope'.*51002"):
        notifications.query("EXEC afil.refresh_notification @name = N'nope'")
