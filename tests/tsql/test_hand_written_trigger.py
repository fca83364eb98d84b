"""The README's pattern for a trigger of one's own: rows as JSON, one call of afil.send_messages, no way to fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.tsql.conftest import Notifications

pytestmark = pytest.mark.tsql

TRIGGER = """
CREATE TRIGGER dbo.purchase_sent ON dbo.purchase AFTER UPDATE
AS
BEGIN
    SET NOCOUNT ON;
    SET XACT_ABORT OFF;
    DECLARE @messages NVARCHAR(MAX), @error NVARCHAR(1000);
    BEGIN TRY
        SET @messages = (
            SELECT
                'whatsapp' AS platform,
                '100' AS platformid,
                i.phone AS destination,
                CONCAT(N'Order ', i.id, N' has left: ', i.note) AS message,
                CONCAT(N'order-', i.id, N'-sent') AS dedup_key
            FROM inserted AS i
            INNER JOIN deleted AS d ON d.id = i.id
            WHERE i.state = 'sent' AND (d.state <> 'sent' OR d.state IS NULL) AND i.phone <> N''
            ORDER BY i.id
            FOR JSON PATH
        );
        IF @messages IS NOT NULL
            EXEC afil.send_messages @messages = @messages, @return_ids = 0;
    END TRY
    BEGIN CATCH
        SET @error = ERROR_MESSAGE();
        IF XACT_STATE() = 1
            INSERT INTO dbo.purchase_error (message) VALUES (@error);
    END CATCH;
END;
"""


@pytest.fixture
def shop(notifications: Notifications) -> Iterator[Notifications]:
    notifications.query("DROP TABLE IF EXISTS dbo.purchase_error")
    notifications.query("CREATE TABLE dbo.purchase_error (message nvarchar(1000))")
    notifications.query(TRIGGER)
    yield notifications
    notifications.query("DROP TABLE dbo.purchase_error")


def test_each_row_becomes_a_request_in_order_and_no_result_set_is_returned(shop: Notifications) -> None:
    shop.query(
        "INSERT INTO dbo.purchase (id, phone, state, note) VALUES (3, '343', 'new', N'x'), "
        "(1, '341', 'new', N'it''s \"q\" \\ ☕'), (2, NULL, 'new', NULL), (4, '344', 'sent', N'x'), "
        "(5, '345', NULL, NULL)"
    )
    assert shop.query("UPDATE dbo.purchase SET state = 'sent'") == []
    assert [(r.destination, r.message, r.dedup_key) for r in shop.outbox()] == [
        ("341", 'Order 1 has left: it\'s "q" \\ ☕', "order-1-sent"),
        ("343", "Order 3 has left: x", "order-3-sent"),
        ("345", "Order 5 has left: ", "order-5-sent"),
    ]


def test_a_statement_that_concerns_no_row_writes_nothing(shop: Notifications) -> None:
    shop.query("UPDATE dbo.purchase SET state = 'sent' WHERE id = 0")
    assert shop.outbox() == [] and shop.query("SELECT 1 FROM dbo.purchase_error") == []


def test_a_second_change_of_the_same_row_is_not_sent_again(shop: Notifications) -> None:
    shop.query("INSERT INTO dbo.purchase (id, phone, state) VALUES (1, '341', 'new')")
    for state in ("sent", "back", "sent"):
        shop.query("UPDATE dbo.purchase SET state = ?", state)
    assert len(shop.outbox()) == 1


def test_a_thousand_rows_are_one_call(shop: Notifications) -> None:
    values = [", ".join(f"({n}, '34{n}', 'new')" for n in range(s, s + 500)) for s in (0, 500)]
    for part in values:
        shop.query(f"INSERT INTO dbo.purchase (id, phone, state) VALUES {part}")
    shop.query("UPDATE dbo.purchase SET state = 'sent'")
    count, moments = shop.query("SELECT COUNT(*), COUNT(DISTINCT created_at) FROM afil.outbox")[0]
    assert (count, moments) == (1000, 1)


def test_it_goes_with_the_callers_rollback(shop: Notifications) -> None:
    shop.query("INSERT INTO dbo.purchase (id, phone, state) VALUES (1, '341', 'new')")
    shop.query("BEGIN TRANSACTION; UPDATE dbo.purchase SET state = 'sent'; ROLLBACK TRANSACTION;")
    assert shop.outbox() == []


@pytest.mark.parametrize("xact_abort", ["ON", "OFF"])
def test_a_refused_message_is_noted_and_the_callers_transaction_commits(
    shop: Notifications, babelfish: bool, xact_abort: str
) -> None:
    if babelfish:
        pytest.skip("on Babelfish an error inside any trigger, even a caught one, dooms the transaction (3930)")
    shop.query("INSERT INTO dbo.purchase (id, phone, state) VALUES (1, REPLICATE('3', 201), 'new')")
    try:
        shop.query(f"SET XACT_ABORT {xact_abort}")
        state = shop.query(
            "BEGIN TRANSACTION; UPDATE dbo.purchase SET state = 'sent'; SELECT XACT_STATE(); COMMIT TRANSACTION;"
        )[0][0]
    finally:
        shop.query("SET XACT_ABORT OFF")
    assert state == 1
    assert shop.query("SELECT state FROM dbo.purchase")[0][0] == "sent"
    assert "@destination is 201 characters long" in shop.query("SELECT message FROM dbo.purchase_error")[0][0]
    assert shop.outbox() == []


def test_a_writer_who_may_send_needs_no_other_right(shop: Notifications, writer: tuple[str, Any]) -> None:
    name, cursor = writer
    shop.query(f"ALTER ROLE afil_sender ADD MEMBER {name}")
    cursor.execute("INSERT INTO dbo.purchase (id, phone, state) VALUES (1, '341', 'new')")
    cursor.execute("UPDATE dbo.purchase SET state = 'sent'")
    assert [(r.destination, r.status, r.created_by) for r in shop.outbox()] == [("341", "queued", name)]
