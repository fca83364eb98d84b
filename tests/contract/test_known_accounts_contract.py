"""Which accounts workers know, and that requests of others are refused, on each engine."""

from __future__ import annotations

import pytest

from afilsql.errors import InvalidParameter
from afilsql.outbox.records import Account, Request
from tests.contract.conftest import Engine

CHAT = {"platform": "whatsapp", "platformid": "100", "destination": "1", "message": "hi"}


def test_every_name_is_accepted_until_an_account_is_known(engine: Engine) -> None:
    engine.outbox.hold_account("held", "why")
    assert engine.status(engine.send(account="anything")) == "queued"
    assert engine.outbox.status().accounts == engine.outbox.known_accounts() == []


@pytest.mark.parametrize("name", ["shpo", "default", "SHOP", "shop ", " shop"])
def test_an_unknown_account_is_refused_by_name_with_those_that_are_known(engine: Engine, name: str) -> None:
    engine.outbox.announce([Account("shop"), Account("office")])
    with pytest.raises(InvalidParameter) as caught:
        engine.send(account=name)
    assert str(caught.value).startswith(
        f"@account '{name}' is not known to any worker (known: office, shop): correct it, or add it"
    )
    assert engine.status(engine.send(account="shop")) == "queued"
    assert len(engine.outbox.items()) == 1


def test_of_many_known_accounts_ten_are_named(engine: Engine) -> None:
    engine.outbox.announce([Account(f"a{n:02}") for n in range(11)])
    with pytest.raises(InvalidParameter, match=r"\(known: a00, a01, .*, a09, …\): "):
        engine.send(account="x")
    engine.outbox.forget_account("a10")
    with pytest.raises(InvalidParameter, match=r"\(known: a00, a01, .*, a08, a09\): "):
        engine.send(account="x")


def test_a_platform_that_the_account_may_not_use_is_refused(engine: Engine) -> None:
    engine.outbox.announce([Account("shop", ("webchat", "telegram")), Account("all")])
    with pytest.raises(
        InvalidParameter, match=r"@platform 'whatsapp' is not one of the account 'shop', which has webchat,telegram: "
    ):
        engine.outbox.enqueue(Request("sendmessage", CHAT, account="shop"))
    for platform, account in (("telegram", "shop"), ("webchat", "shop"), ("whatsapp", "all")):
        engine.outbox.enqueue(Request("sendmessage", CHAT | {"platform": platform}, account=account))
    engine.outbox.enqueue(Request("getchatchannels", {}, account="shop"))  # of no platform
    assert len(engine.outbox.items()) == 4


def test_one_unknown_account_refuses_all_of_many_and_is_named_by_its_place(engine: Engine) -> None:
    engine.outbox.announce([Account("shop")])
    good, bad = Request("sendmessage", CHAT, account="shop"), Request("sendmessage", CHAT, account="office")
    with pytest.raises(InvalidParameter, match=r"^request 3: @account 'office' is not known"):
        engine.outbox.enqueue_many([good, good, bad, bad])
    assert engine.outbox.items() == []
    assert len(engine.outbox.enqueue_many([good, good])) == 2


def test_an_unknown_account_is_subscribed_to_nothing(engine: Engine) -> None:
    engine.outbox.announce([Account("shop", ("whatsapp",))])
    with pytest.raises(InvalidParameter, match="@account 'default' is not known"):
        engine.outbox.subscribe("whatsapp", "100")
    with pytest.raises(InvalidParameter, match="@platform 'telegram' is not one of the account 'shop'"):
        engine.outbox.subscribe("telegram", "100", account="shop")
    assert engine.outbox.subscribe("whatsapp", "100", account="shop")
    assert [s.account for s in engine.outbox.subscriptions()] == ["shop"]


def test_announcing_again_changes_the_platforms_and_forgets_nobody(engine: Engine) -> None:
    engine.outbox.announce([Account("shop", ("whatsapp",)), Account("office")])
    engine.outbox.announce([Account("shop", ("webchat", "operator"))])
    engine.outbox.announce([])
    assert (
        engine.outbox.status().accounts
        == engine.outbox.known_accounts()
        == [Account("office"), Account("shop", ("webchat", "operator"))]
    )
    engine.outbox.announce([Account("shop")])
    assert engine.outbox.status().accounts == engine.outbox.known_accounts() == [Account("office"), Account("shop")]


def test_a_hold_outlives_announcing_and_forgetting(engine: Engine) -> None:
    engine.outbox.hold_account("shop", "why")
    engine.outbox.announce([Account("shop")])
    id = engine.send(account="shop")
    assert engine.take_ids() == []
    assert engine.outbox.forget_account("shop")
    assert engine.outbox.status().held == [("shop", "why")]
    assert engine.status(id) == "queued"


def test_a_forgotten_account_is_refused_and_what_waits_is_still_taken(engine: Engine) -> None:
    engine.outbox.announce([Account("shop"), Account("office")])
    id = engine.send(account="shop")
    assert engine.outbox.forget_account("shop")
    assert not engine.outbox.forget_account("shop")
    assert not engine.outbox.forget_account("nobody")
    with pytest.raises(InvalidParameter, match=r"@account 'shop' is not known to any worker \(known: office\)"):
        engine.send(account="shop")
    assert engine.take_ids() == [id]
    assert engine.query("SELECT COUNT(*) FROM event_log WHERE event = 'account_forgotten'") == [(1,)]


def test_with_the_last_account_forgotten_every_name_is_accepted(engine: Engine) -> None:
    engine.outbox.announce([Account("shop")])
    assert engine.outbox.forget_account("shop")
    assert engine.status(engine.send(account="whoever")) == "queued"


def test_a_key_of_an_account_forgotten_since_is_refused_like_any_request_of_it(engine: Engine) -> None:
    engine.outbox.announce([Account("shop"), Account("office")])
    engine.send(account="shop", dedup_key="k")
    engine.outbox.forget_account("shop")
    with pytest.raises(InvalidParameter, match="@account 'shop' is not known"):
        engine.send(account="shop", dedup_key="k")
