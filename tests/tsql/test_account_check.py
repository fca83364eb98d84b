"""Requests of accounts that no worker knows, or of platforms that an account may not use, are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.tsql.conftest import DriverError
from tests.tsql.rows import statuses

pytestmark = pytest.mark.tsql

CHECK = "SELECT code, fault FROM afil.account_check(?, ?)"
SEND = "EXEC afil.send_message @platform = ?, @platformid = '1', @destination = '2', @message = N'x', @account = ?"


def announce(query: Any, *accounts: dict[str, str]) -> None:
    query("EXEC afil.announce @accounts = ?", json.dumps(accounts))


def test_every_name_passes_while_no_account_is_known(query: Any) -> None:
    query("EXEC afil.pause @account = N'held', @reason = N'its row alone makes nothing known'")
    assert tuple(query(CHECK, "anything", "whatsapp")[0]) == (None, None)
    query(SEND, "whatsapp", "anything")
    assert statuses(query) == ["queued"]


@pytest.mark.parametrize("name", ["shpo", "default", "SHOP", "shop ", " shop", "sho"])
def test_a_name_that_is_not_known_to_the_letter_is_refused_with_those_that_are(query: Any, name: str) -> None:
    announce(query, {"name": "shop"}, {"name": "büro"})
    with pytest.raises(
        DriverError, match=rf"@account '{name}' is not known to any worker \(known: büro, shop\): .*51001"
    ):
        query(SEND, "whatsapp", name)
    query(SEND, "whatsapp", "shop")
    query(SEND, "whatsapp", "büro")
    assert statuses(query) == ["queued", "queued"]


def test_of_many_accounts_ten_are_named(query: Any) -> None:
    announce(query, *({"name": f"a{n:02}"} for n in range(11)))
    fault = query(CHECK, "x", "whatsapp")[0].fault
    assert f"(known: {', '.join(f'a{n:02}' for n in range(10))}, …)" in fault
    query("EXEC afil.forget_account @account = N'a10'")
    assert "a09)" in query(CHECK, "x", "whatsapp")[0].fault


def test_names_of_the_greatest_length_fit_the_refusal(query: Any) -> None:
    announce(query, *({"name": f"{n:02}".ljust(128, "ñ")} for n in range(12)))
    with pytest.raises(DriverError, match=r"request 1: @account 'xx.*start the worker.*51001"):
        query("EXEC afil.send_messages @messages = ?", json.dumps([{"platform": "webchat", "account": "x" * 128}]))


def test_a_platform_that_the_account_may_not_use_is_refused(query: Any) -> None:
    announce(query, {"name": "shop", "platforms": "whatsapp,webchat"}, {"name": "all"})
    for platform, account in (("whatsapp", "shop"), ("WebChat ", "shop"), ("telegram", "all")):
        query(SEND, platform, account)
    with pytest.raises(
        DriverError, match=r"@platform 'telegram' is not one of the account 'shop', which has whatsapp,webchat: .*51001"
    ):
        query(SEND, "telegram", "shop")
    with pytest.raises(DriverError, match=r"@platform 'web' is not one of webchat, whatsapp, telegram, operator"):
        query(SEND, "web", "shop")
    query("EXEC afil.get_chat_channels @account = N'shop'")  # of no platform
    assert len(statuses(query)) == 4


def test_one_bad_account_refuses_the_whole_batch_by_its_number(query: Any) -> None:
    announce(query, {"name": "shop", "platforms": "whatsapp"})
    good = {"platform": "whatsapp", "platformid": "1", "destination": "2", "message": "x", "account": "shop"}
    for bad in ({"account": "office"}, {"platform": "telegram"}):
        with pytest.raises(DriverError, match=r"request 2: @(account 'office'|platform 'telegram') .*51001"):
            query("EXEC afil.send_messages @messages = ?", json.dumps([good, good | bad, good]))
    assert statuses(query) == []
    query("EXEC afil.send_messages @messages = ?", json.dumps([good, good]))
    assert statuses(query) == ["queued", "queued"]


def test_a_refusal_that_the_caller_catches_leaves_their_transaction_to_them(query: Any) -> None:
    announce(query, {"name": "shop"})
    got = query(
        """
        SET XACT_ABORT OFF;
        DECLARE @error int, @state int;
        BEGIN TRANSACTION;
        EXEC afil.send_message @platform = 'whatsapp', @platformid = '1', @destination = '2', @message = N'x',
            @account = N'shop';
        BEGIN TRY
            EXEC afil.send_message @platform = 'whatsapp', @platformid = '1', @destination = '2', @message = N'x';
        END TRY
        BEGIN CATCH
            SELECT @error = ERROR_NUMBER(), @state = XACT_STATE();
        END CATCH;
        COMMIT TRANSACTION;
        SELECT @error, @state;
        """
    )
    assert [tuple(r) for r in got] == [(51001, 1)]
    assert statuses(query) == ["queued"]


def test_a_notification_of_an_unknown_account_or_platform_is_not_made(query: Any, notifications: Any) -> None:
    announce(query, {"name": "shop", "platforms": "whatsapp"})
    with pytest.raises(DriverError, match="@account 'default' is not known"):
        notifications.create()
    with pytest.raises(DriverError, match="@platform 'telegram' is not one of the account 'shop'"):
        notifications.create(account="shop", platform="telegram")
    notifications.create(account="shop")
    query("INSERT INTO dbo.purchase (id, phone) VALUES (1, N'346')")
    assert [(r.status, r.account) for r in notifications.outbox()] == [("queued", "shop")]


def test_what_a_notification_writes_for_an_account_forgotten_since_is_failed_with_a_code(
    query: Any, notifications: Any
) -> None:
    announce(query, {"name": "shop"}, {"name": "office"})
    notifications.create(account="shop", on="insert, delete")
    query("EXEC afil.forget_account @account = N'shop'")
    query("INSERT INTO dbo.purchase (id, phone) VALUES (1, N'346'), (2, N'')")
    announce(query, {"name": "shop", "platforms": "telegram"})
    query("DELETE FROM dbo.purchase WHERE id = 1")
    announce(query, {"name": "shop"})
    query("INSERT INTO dbo.purchase (id, phone) VALUES (3, N'346')")
    assert [(r.status, r.error_code) for r in notifications.outbox()] == [
        ("failed", "UNKNOWN_ACCOUNT"),
        ("failed", "UNKNOWN_ACCOUNT"),
        ("failed", "PLATFORM_NOT_ALLOWED"),
        ("queued", None),
    ]
    assert notifications.failures() == []
    query("EXEC afil.requeue @error_code = N'UNKNOWN_ACCOUNT'")
    assert statuses(query) == ["queued", "queued", "failed", "queued"]
