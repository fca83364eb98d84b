"""The README's trigger that answers customers: whom it answers, how often, and that it never stands in the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from afilsql import deploy, uninstall
from afilsql.outbox import open_outbox
from afilsql.outbox.engine import create_engine
from afilsql.sandbox import SandboxServer
from tests.faults.processes import WORKER, workers
from tests.faults.traffic import wait_until

pytestmark = pytest.mark.tsql

README = Path(__file__).parents[2] / "README.md"
ANSWER = "We are open from 9 to 18 h, Monday to Friday."
#: Seconds: a procedure's first run in a session takes long on Babelfish, and longer on a busy machine.
PATIENCE = 300.0
#: What the sandbox's channels begin with.
SEEDED_TEXT = "Hello, is my order on its way?"
QUESTION = "What are your opening hours?"


def documented_trigger() -> str:
    """The T-SQL block of the README that makes a trigger on afil.chat_message."""
    blocks = re.findall(r"^```sql\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = (block for block in blocks if re.search(r"CREATE TRIGGER \S+ ON afil\.chat_message", block))
    return found


class Shop:
    """A database that answers customers as the README shows."""

    def __init__(self, query: Callable[..., list[Any]]) -> None:
        self.query = query

    def listed(self, *messages: dict[str, object]) -> list[Any]:
        """Store messages with one statement, as the answer of one call; return what the statement returns."""
        columns = ("account", "platform", "platformid", "destination", "message", "messageid", "sent", "is_new")
        rows = [{**DEFAULTS, **message} for message in messages]
        marks = ", ".join(f"({', '.join('?' * len(columns))}, SYSUTCDATETIME(), SYSUTCDATETIME())" for _ in rows)
        return self.query(
            f"INSERT INTO afil.chat_message ({', '.join(columns)}, updated_at, seen_at) VALUES {marks}",
            *(row[c] for row in rows for c in columns),
        )

    def answers(self) -> list[Any]:
        return self.query("SELECT * FROM afil.outbox ORDER BY id")

    def answered(self) -> list[str]:
        return [row.destination for row in self.answers()]

    def stored(self) -> int:
        return int(self.query("SELECT COUNT(*) FROM afil.chat_message")[0][0])

    def errors(self) -> list[str]:
        return [row.message for row in self.query("SELECT message FROM dbo.answers_error")]


DEFAULTS: dict[str, object] = {
    "account": "default",
    "platform": "whatsapp",
    "platformid": "100",
    "destination": "346",
    "message": QUESTION,
    "messageid": None,
    "sent": 0,
    "is_new": 1,
}


@pytest.fixture
def shop(query: Callable[..., list[Any]]) -> Iterator[Shop]:
    query("DROP TRIGGER IF EXISTS afil.answer_opening_hours")
    query("DROP TABLE IF EXISTS dbo.answers_error")
    query("CREATE TABLE dbo.answers_error (message nvarchar(1000))")
    query(documented_trigger())
    yield Shop(query)
    query("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
    query("DROP TRIGGER IF EXISTS afil.answer_opening_hours")
    query("DROP TABLE dbo.answers_error")


def test_a_question_is_answered_in_its_conversation(shop: Shop) -> None:
    place = {"account": "shop", "platform": "telegram", "platformid": "200", "destination": "ünï 'x' \\"}
    assert shop.listed(place) == []
    (row,) = shop.answers()
    assert {column: getattr(row, column) for column in place} == place
    assert (row.method, row.message, row.status) == ("sendmessage", ANSWER, "queued")


def test_only_what_is_new_received_and_asked_for_is_answered(shop: Shop) -> None:
    shop.listed(
        {"destination": "1", "sent": 1},
        {"destination": "2", "sent": None},
        {"destination": "3", "is_new": 0},
        {"destination": "4", "is_new": None},
        {"destination": "5", "message": "Hello"},
        {"destination": "6", "message": None},
        {"destination": "7", "message": ""},
        {"destination": "8"},
    )
    assert shop.answered() == ["8"]
    assert shop.stored() == 8


def test_many_conversations_of_one_answer_are_answered_in_order_by_one_call(shop: Shop) -> None:
    shop.listed(*({"destination": str(n), "messageid": f"m{n}"} for n in range(100)))
    assert shop.answered() == [str(n) for n in range(100)]
    assert len({row.created_at for row in shop.answers()}) == 1


def test_two_questions_in_one_answer_get_one_reply(shop: Shop) -> None:
    shop.listed({}, {"message": "Opening hours please: your opening hours?"}, {"destination": "347"})
    assert shop.answered() == ["346", "347"]


def test_a_conversation_is_answered_again_when_the_pause_is_over(shop: Shop) -> None:
    shop.listed({})
    shop.listed({})
    assert len(shop.answers()) == 1
    shop.query("UPDATE afil.outbox SET created_at = DATEADD(MINUTE, -9, created_at)")
    shop.listed({})
    assert len(shop.answers()) == 1
    shop.query("UPDATE afil.outbox SET created_at = DATEADD(MINUTE, -2, created_at)")
    shop.listed({})
    assert len(shop.answers()) == 2


def test_the_same_chat_of_another_account_or_channel_is_another_conversation(shop: Shop) -> None:
    shop.listed({})
    shop.listed({"account": "shop"}, {"platformid": "101"}, {"platform": "telegram"})
    assert len(shop.answers()) == 4


def test_what_others_send_in_the_conversation_is_no_automatic_answer(shop: Shop) -> None:
    said = {"platform": "whatsapp", "platformid": "100", "destination": "346", "message": "Hello"}
    shop.query("EXEC afil.send_messages @messages = ?", json.dumps([said | {"dedup_key": "hello-1"}, said]))
    shop.listed({})
    assert [row.message for row in shop.answers()] == ["Hello", "Hello", ANSWER]


ODD = {
    "controls": "opening hours \x00\x01\x1b[2J\t\r\n",
    "quotes": "opening hours '\"`; DROP TABLE afil.outbox; --",
    "json": '{"opening hours": [1, "\\u0041"]}',
    "emoji": "😀 opening hours 👩‍👩‍👧 \u202e",
    "long": "opening hours " + "x" * 500_000,
    "wildcards": "%_[]^ opening hours",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_no_text_of_a_customer_stops_it(shop: Shop, text: str) -> None:
    shop.listed({"message": text.replace("\x00", "")})
    assert [row.message for row in shop.answers()] == [ANSWER]
    assert shop.errors() == []


@pytest.mark.parametrize(
    "odd",
    [
        {"platform": "fax"},
        {"platform": ""},
        {"platform": "operator"},
        {"platformid": ""},
        {"destination": ""},
        {"destination": "   "},
        {"destination": None},
    ],
    ids=str,
)
def test_a_message_that_cannot_be_answered_is_stored_and_the_others_are_answered(
    shop: Shop, odd: dict[str, object]
) -> None:
    shop.listed(odd, {"destination": "347"})
    assert shop.answered() == ["347"]
    assert shop.stored() == 2
    assert shop.errors() == []


def test_a_platform_in_other_letters_is_the_same_conversation(shop: Shop) -> None:
    shop.listed({"platform": "WhatsApp"})
    shop.listed({"platform": "whatsapp"})
    assert [row.platform for row in shop.answers()] == ["whatsapp"]


def test_an_update_of_a_message_is_no_question(shop: Shop) -> None:
    shop.listed({"message": "Hello"})
    shop.query("UPDATE afil.chat_message SET message = ?, status = 'read'", QUESTION)
    assert shop.answers() == []


def test_a_statement_that_stores_nothing_answers_nothing(shop: Shop) -> None:
    shop.query(
        "INSERT INTO afil.chat_message (account, platform, platformid, updated_at) "
        "SELECT account, platform, platformid, updated_at FROM afil.chat_message WHERE id < 0"
    )
    assert shop.answers() == []


def test_the_answer_goes_with_the_rollback_of_the_message(shop: Shop) -> None:
    shop.query("BEGIN TRANSACTION")
    shop.listed({})
    shop.query("ROLLBACK TRANSACTION")
    assert (shop.stored(), shop.answers()) == (0, [])


def test_an_answer_that_is_refused_is_noted_and_the_message_kept(shop: Shop, babelfish: bool) -> None:
    if babelfish:
        pytest.skip("on Babelfish an error inside any trigger, even a caught one, dooms the transaction (3930)")
    shop.query("EXEC afil.configure @name = 'quota_per_minute', @value = 1")
    shop.listed({"destination": "1"}, {"destination": "2"})
    assert (shop.stored(), shop.answers()) == (2, [])
    assert "may queue" in shop.errors()[0]


def test_a_bot_that_always_asks_again_gets_one_answer(shop: Shop) -> None:
    """Each of twenty looks lists our answer, and a bot that asks again."""
    shop.listed({"message": QUESTION, "messageid": "0"})
    for n in range(1, 21):
        shop.listed(
            {"message": ANSWER, "messageid": f"ours {n}", "sent": 1},
            {"message": f"{ANSWER} {QUESTION}", "messageid": f"bot {n}"},
        )
    assert len(shop.answers()) == 1


def test_two_bots_that_answer_each_other_stop_with_a_real_worker_between_them(shop: Shop, tsql_url: str) -> None:
    def look() -> None:
        shop.query("UPDATE afil.subscription SET due_at = SYSUTCDATETIME()")

    def came(text: str, **columns: object) -> bool:
        where = " AND ".join(f"{c} = ?" for c in columns)
        sql = f"SELECT 1 FROM afil.chat_message WHERE message = ? AND {where}"
        return bool(shop.query(sql, text, *columns.values()))

    with SandboxServer(auto_customer=f"Tell me: {QUESTION}") as api, open_outbox(tsql_url) as outbox:
        outbox.subscribe("whatsapp", "100", every_seconds=5)
        try:
            with workers(1, tsql_url, api.url, command=WORKER) as (worker,):
                wait_until(lambda: came(SEEDED_TEXT, is_new=0), "the history did not come", PATIENCE, every=0.2)
                api.sandbox.customer_says("demo", "whatsapp", "100", "346", QUESTION)
                look()
                wait_until(lambda: came(ANSWER, sent=1), "the answer was not sent and listed", PATIENCE, every=0.2)
                wait_until(
                    lambda: came(f"Tell me: {QUESTION}", sent=0, is_new=1), "the bot did not ask", PATIENCE, every=0.2
                )
                looks = len(api.received)
                look()
                wait_until(lambda: len(api.received) > looks, "the worker did not look again", PATIENCE, every=0.2)
                wait_until(lambda: not outbox.status().counts["sending"], "the look did not end", PATIENCE, every=0.2)
                assert worker.poll() is None, worker.said()
        finally:
            outbox.unsubscribe("whatsapp", "100")
    sent = [call["params"]["message"] for call in api.received if call["method"] == "sendmessage"]
    assert sent == [ANSWER]
    assert [row.status for row in shop.answers() if row.method == "sendmessage"] == ["sent"]
    assert shop.errors() == []


def test_the_trigger_outlives_an_upgrade_and_goes_with_an_uninstall(new_tsql_url: str) -> None:
    deploy.migrate(new_tsql_url)
    engine = create_engine(new_tsql_url, autocommit=True)
    with engine.connect() as connection:
        connection.exec_driver_sql(documented_trigger())
    assert deploy.drift(new_tsql_url) == []
    deploy.migrate(new_tsql_url)
    triggers = "SELECT COUNT(*) FROM sys.triggers WHERE name = 'answer_opening_hours'"
    with engine.connect() as connection:
        assert connection.exec_driver_sql(triggers).scalar_one() == 1
    uninstall.uninstall(new_tsql_url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql(triggers).scalar_one() == 0
    engine.dispose()
