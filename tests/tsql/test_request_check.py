"""afil.request_check called directly: the fault, the contract's own spelling, and the key that keeps the order.

tests/tsql/test_requests.py holds its faults against the contract through the procedures.
"""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.tsql

CHECK = (
    "SELECT fault, method, platform, type, conversation FROM afil.request_check("
    "?, ?, N'100', N'34600000000', N'hi', ?, ?, NULL, ?, 5, NULL, NULL)"
)


def test_nothing_is_wrong_with_a_good_request(query: Any) -> None:
    (row,) = query(CHECK, "sendmessage", "whatsapp", None, None, "default")
    assert row.fault is None
    assert row.conversation == "default\x1fwhatsapp\x1f100\x1f34600000000"


def test_words_of_the_contract_come_back_in_its_own_spelling(query: Any) -> None:
    (row,) = query(CHECK, "SendFile", "WhatsApp ", "IMAGE", "https://example.com/1.jpg", "default")
    assert (row.fault, row.method, row.platform, row.type) == (None, "sendfile", "whatsapp", "image")
    assert row.conversation == "default\x1fwhatsapp\x1f100\x1f34600000000"


def test_many_are_checked_in_one_statement_and_the_first_fault_of_each_is_told(query: Any) -> None:
    rows = query(
        "SELECT v.n, c.fault FROM (VALUES (1, N'whatsapp', N'default'), (2, N'sms', N'default'), (3, N'sms', N''))"
        " AS v(n, platform, account) CROSS APPLY afil.request_check(N'sendmessage', v.platform, N'1', N'2', N'x', NULL,"
        " NULL, NULL, v.account, 5, NULL, NULL) AS c ORDER BY v.n"
    )
    assert rows[0].fault is None
    assert rows[1].fault.startswith("@platform 'sms' is not one of webchat, whatsapp, telegram, operator")
    assert rows[2].fault.startswith("@account")
