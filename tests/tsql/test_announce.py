"""afil.announce makes the accounts of a worker's settings known; afil.known_accounts lists them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tsql.conftest import DriverError

pytestmark = pytest.mark.tsql

ANNOUNCE = "EXEC afil.announce @accounts = ?"


def known(query: Any) -> list[tuple[str, str | None]]:
    return [(r.name, r.platforms) for r in query("SELECT name, platforms FROM afil.known_accounts ORDER BY name")]


def test_accounts_become_known_with_their_platforms_and_the_time(query: Any) -> None:
    query(ANNOUNCE, '[{"name": "shop", "platforms": "whatsapp,telegram"}, {"name": "büro 👋"}]')
    assert known(query) == [("büro 👋", None), ("shop", "whatsapp,telegram")]
    (row,) = query("SELECT DATEDIFF(SECOND, MAX(announced_at), SYSUTCDATETIME()) AS age FROM afil.known_accounts")
    assert 0 <= row.age < 60


def test_announcing_again_changes_the_platforms_and_forgets_nobody(query: Any) -> None:
    query(ANNOUNCE, '[{"name": "shop", "platforms": "whatsapp"}, {"name": "office"}]')
    query("UPDATE afil.account SET announced_at = '2020-01-01'")
    query(ANNOUNCE, '[{"name": "shop"}]')
    assert known(query) == [("office", None), ("shop", None)]
    rows = query("SELECT name FROM afil.known_accounts WHERE announced_at = '2020-01-01'")
    assert [r.name for r in rows] == ["office"]
    query(ANNOUNCE, "[]")
    assert len(known(query)) == 2


def test_nothing_else_of_the_account_changes(query: Any) -> None:
    query(
        "INSERT INTO afil.account (name, held_at, held_reason, tripped_at, trips, probe_at, probe_id, rest_until, "
        "rate, rate_found, tokens, tokens_at, poll_tokens, poll_tokens_at) VALUES (N'shop', '2026-01-01', N'why', "
        "'2026-01-02', 3, '2026-01-03', 4, '2026-01-04', 5.5, 6.5, 7.5, '2026-01-05', 8.5, '2026-01-06')"
    )
    columns = [r.name for r in query("SELECT name FROM sys.columns WHERE object_id = OBJECT_ID(N'afil.account')")]
    kept = ", ".join(c for c in columns if c not in ("announced_at", "platforms"))
    before = [tuple(r) for r in query(f"SELECT {kept} FROM afil.account")]
    query(ANNOUNCE, '[{"name": "shop", "platforms": "webchat"}]')
    assert [tuple(r) for r in query(f"SELECT {kept} FROM afil.account")] == before
    assert known(query) == [("shop", "webchat")]


def test_the_settings_spelling_is_the_one_that_counts(query: Any) -> None:
    query("EXEC afil.pause @account = N'SHOP'")
    query(ANNOUNCE, '[{"name": "shop"}]')
    assert known(query) == [("shop", None)]
    assert query("SELECT code FROM afil.account_check(N'shop', NULL)")[0].code is None
    assert [r.name for r in query("SELECT name FROM afil.held_accounts")] == ["shop"]


@pytest.mark.parametrize(
    "accounts",
    [None, "", "shop", '{"name": "shop"}', "[1]", "[null]", '["shop"]', '[{"platforms": "whatsapp"}]', '[{"name": ""}]',
     '[{"name": "%s"}]' % ("x" * 129), '[{"name": "shop", "platforms": ""}]',
     '[{"name": "shop", "platforms": "%s"}]' % ("x" * 101)],
)  # fmt: skip
def test_what_is_no_list_of_accounts_is_refused_and_nothing_is_announced(query: Any, accounts: str | None) -> None:
    if accounts and accounts.startswith("[{"):
        accounts = '[{"name": "good"}, ' + accounts[1:]
    with pytest.raises(DriverError, match=r"@accounts.*51001"):
        query(ANNOUNCE, accounts)
    assert known(query) == []
