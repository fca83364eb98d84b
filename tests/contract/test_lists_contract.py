"""Rows of the lists can be asked for by channel and chat, and messages by what came after; on each engine."""

from __future__ import annotations

import pytest

from afilsql.errors import InvalidParameter
from tests.contract.conftest import Engine


def store(
    engine: Engine, *texts: str, destination: str = "1", platformid: str = "100", account: str = "default"
) -> int:
    """Write received messages as they would stand; the id of the last."""
    now = engine.now().replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
    for text in texts:
        engine.query(
            "INSERT INTO chat_message (account, platform, platformid, destination, message, sent, is_new, updated_at, "
            f"seen_at) VALUES ('{account}', 'whatsapp', '{platformid}', '{destination}', '{text}', 0, 1, '{now}', "
            f"'{now}')"
        )
    return int(engine.query("SELECT MAX(id) FROM chat_message")[0][0])


def texts(engine: Engine, **asked: object) -> list[str]:
    return [row["message"] for row in engine.outbox.rows_of("messages", **asked)]  # type: ignore[arg-type]


def test_messages_after_an_id_come_oldest_first(engine: Engine) -> None:
    last = store(engine, "a", "b")
    assert texts(engine, after=last) == []
    store(engine, "c", "d", "e")
    assert texts(engine, after=last) == ["c", "d", "e"]
    assert texts(engine, after=last, limit=2) == ["c", "d"]
    assert texts(engine, after=0) == ["a", "b", "c", "d", "e"]


def test_the_latest_messages_come_oldest_first(engine: Engine) -> None:
    assert texts(engine, latest=True) == []
    store(engine, "a", "b", "c")
    assert texts(engine, latest=True, limit=2) == ["b", "c"]
    assert texts(engine, latest=True, limit=9) == ["a", "b", "c"]


def test_messages_are_told_apart_by_account_channel_and_chat(engine: Engine) -> None:
    last = store(engine, "a")
    store(engine, "b", destination="2")
    store(engine, "c", platformid="200")
    store(engine, "d", account="shop")
    channel = {"account": "default", "platform": "whatsapp", "platformid": "100"}
    assert texts(engine, **channel) == ["a", "b"]
    assert texts(engine, **channel, destination="2") == ["b"]
    assert texts(engine, **channel, after=last) == ["b"]
    assert texts(engine, **channel, latest=True, limit=1) == ["b"]
    assert texts(engine, account="shop") == ["d"]
    assert texts(engine, platform="telegram") == []


def test_a_message_comes_with_its_columns_as_values(engine: Engine) -> None:
    store(engine, "a")
    (row,) = engine.outbox.rows_of("messages")
    assert (row["sent"], row["updated_at"].utcoffset().total_seconds()) == (False, 0)
    assert {"id", "destination", "messageid", "status", "dated_at"} <= set(row)


@pytest.mark.parametrize(
    ("kind", "asked", "named"),
    [
        ("chats", {"after": 1}, "'after'"),
        ("channels", {"latest": True}, "'latest'"),
        ("channels", {"destination": "1"}, "destination"),
        ("nonsense", {}, "nonsense"),
    ],
)
def test_what_a_list_does_not_have_is_refused(engine: Engine, kind: str, asked: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidParameter, match=named):
        engine.outbox.rows_of(kind, **asked)  # type: ignore[arg-type]
