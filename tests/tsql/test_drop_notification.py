"""afil.drop_notification: the trigger goes, what it queued stays."""

from __future__ import annotations

import pytest

from tests.tsql.conftest import DriverError, Notifications

pytestmark = pytest.mark.tsql

TRIGGERS = "SELECT name FROM sys.triggers WHERE name LIKE N'afil[_]%' ORDER BY name"
ROW = "INSERT INTO dbo.purchase (id, phone) VALUES ({}, '346')"


def test_the_trigger_and_the_definition_go_and_queued_requests_stay(notifications: Notifications) -> None:
    notifications.create()
    notifications.create(name="other", message="other")
    notifications.query(ROW.format(1))
    notifications.query("EXEC afil.drop_notification @name = N't'")
    notifications.query(ROW.format(2))
    assert [r.name for r in notifications.query(TRIGGERS)] == ["afil_other"]
    assert [r.name for r in notifications.query("SELECT name FROM afil.notifications")] == ["other"]
    assert sorted(notifications.messages()) == ["Purchase 1", "other", "other"]
    assert notifications.query("SELECT COUNT(*) FROM afil.all_items WHERE status = 'queued'")[0][0] == 3


@pytest.mark.parametrize(
    "name", ["nope", "", None, "t'; DROP TABLE dbo.purchase; --", "t]; DROP TABLE dbo.purchase; --"]
)
def test_a_name_that_is_not_there_is_refused(notifications: Notifications, name: str | None) -> None:
    notifications.create()
    with pytest.raises(DriverError, match=r"there is no notification '.*afil.notifications lists.*51002"):
        notifications.query("EXEC afil.drop_notification @name = ?", name)
    assert notifications.state() == ("ok", None)


@pytest.mark.parametrize("lost", ["DROP TRIGGER dbo.afil_t", "DROP TABLE dbo.purchase"])
def test_what_has_lost_its_trigger_or_its_table_is_removed(notifications: Notifications, lost: str) -> None:
    notifications.create()
    notifications.query(lost)
    notifications.query("EXEC afil.drop_notification @name = N't'")
    assert notifications.query("SELECT 1 FROM afil.notification") == []


def test_the_trigger_goes_though_its_table_has_another_name_now(notifications: Notifications) -> None:
    notifications.create()
    notifications.query("DROP TABLE IF EXISTS dbo.purchase_2; EXEC sp_rename 'dbo.purchase', 'purchase_2', 'OBJECT'")
    try:
        notifications.query("EXEC afil.drop_notification @name = N't'")
        assert notifications.query(TRIGGERS) == []
        notifications.query("INSERT INTO dbo.purchase_2 (id, phone) VALUES (1, '346')")
        assert notifications.outbox() == []
    finally:
        notifications.query("DROP TABLE dbo.purchase_2")


def test_a_name_is_free_again(notifications: Notifications) -> None:
    notifications.create()
    notifications.query("EXEC afil.drop_notification @name = N't'")
    notifications.create(message="again {id}")
    notifications.query(ROW.format(1))
    assert notifications.messages() == ["again 1"]
