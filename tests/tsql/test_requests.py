"""The request procedures, called as a DBA calls them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afilsql.api.methods import ALLOWED, MAX_LENGTH, METHODS, check
from afilsql.errors import InvalidParameter
from tests.tsql.conftest import DriverError

pytestmark = pytest.mark.tsql

PROCEDURES = {
    "send_message": "sendmessage",
    "send_file": "sendfile",
    "get_chat_channels": "getchatchannels",
    "get_chats": "getchats",
    "get_messages": "getmessages",
    "get_unread_messages": "getunreadmessages",
}
GOOD = {
    "platform": "whatsapp",
    "platformid": "100",
    "destination": "34600000000",
    "message": "Pedido nº 7 listo 😀 שלום",
    "type": "image",
    "fileurl": "https://www.example.com/image.jpg",
    "thumburl": "https://www.example.com/thumb.jpg",
}


def execute(query: Any, procedure: str, **parameters: object) -> int:
    names = ", ".join(f"@{p} = ?" for p in parameters)
    sql = f"DECLARE @id bigint; EXEC afil.{procedure} {names}{', ' if names else ''}@id = @id OUTPUT; SELECT @id;"
    return int(query(sql, *parameters.values())[-1][0])


def good(procedure: str) -> dict[str, str]:
    return {p: GOOD[p] for p in METHODS[PROCEDURES[procedure]].parameters}


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_a_request_becomes_a_queued_row_with_every_parameter(query: Any, procedure: str) -> None:
    id = execute(query, procedure, **good(procedure), account="shop", priority=2)
    row = query("SELECT * FROM afil.all_items WHERE id = ?", id)[0]
    assert (row.method, row.status, row.account, row.priority, row.attempts) == (
        PROCEDURES[procedure], "queued", "shop", 2, 0,
    )  # fmt: skip
    assert {p: getattr(row, p) for p in good(procedure)} == good(procedure)


def faults() -> list[Any]:
    """Everything the contract refuses, for every procedure: the one table drives both sides."""
    cases = []
    for procedure, name in PROCEDURES.items():
        method = METHODS[name]
        for p in method.required:
            cases.append(pytest.param(procedure, {p: None}, p, id=f"{procedure} without {p}"))
            cases.append(pytest.param(procedure, {p: ""}, p, id=f"{procedure} with empty {p}"))
        for p in method.parameters:
            if p in ALLOWED:
                cases.append(pytest.param(procedure, {p: "sms"}, p, id=f"{procedure} with unknown {p}"))
            elif p != "message":
                cases.append(
                    pytest.param(procedure, {p: "http://" + "x" * MAX_LENGTH[p]}, p, id=f"{procedure} long {p}")
                )
            if p in ("fileurl", "thumburl"):
                cases.append(pytest.param(procedure, {p: "ftp://x"}, p, id=f"{procedure} with {p} no URL"))
    return cases


@pytest.mark.parametrize(("procedure", "bad", "named"), faults())
def test_what_the_contract_refuses_is_refused_by_name_and_writes_nothing(
    query: Any, procedure: str, bad: dict[str, str | None], named: str
) -> None:
    with pytest.raises(InvalidParameter, match=named):
        check(PROCEDURES[procedure], good(procedure) | bad)
    with pytest.raises(DriverError, match=rf"@{named}.*51001"):
        execute(query, procedure, **(good(procedure) | bad))
    assert query("SELECT COUNT(*) FROM afil.all_items")[0][0] == 0


@pytest.mark.parametrize(
    ("bad", "named"),
    [({"priority": 10}, "priority"), ({"priority": -1}, "priority"), ({"account": ""}, "account"),
     ({"dedup_key": "x" * 201}, "dedup_key"), ({"account": "x" * 129}, "account")],
)  # fmt: skip
def test_the_common_parameters_are_checked_too(query: Any, bad: dict[str, object], named: str) -> None:
    with pytest.raises(DriverError, match=f"@{named}"):
        execute(query, "get_chat_channels", **bad)


def test_a_message_over_the_limit_is_refused_and_one_at_the_limit_is_kept(query: Any) -> None:
    limit = MAX_LENGTH["message"]
    with pytest.raises(DriverError, match="@message"):
        execute(query, "send_message", **(good("send_message") | {"message": "x" * (limit + 1)}))
    id = execute(query, "send_message", **(good("send_message") | {"message": "é" * limit}))
    assert query("SELECT message FROM afil.all_items WHERE id = ?", id)[0][0] == "é" * limit


def test_a_dedup_key_returns_the_first_id(query: Any) -> None:
    first = execute(query, "send_message", **good("send_message"), dedup_key="order-7")
    again = execute(query, "send_message", **good("send_message"), dedup_key="order-7")
    other = execute(query, "send_message", **good("send_message"), dedup_key="order-8")
    assert first == again != other


def test_a_request_disappears_with_the_callers_rollback(query: Any) -> None:
    query(
        "BEGIN TRANSACTION; EXEC afil.send_message @platform = 'whatsapp', @platformid = '1', @destination = '2', "
        "@message = N'x'; ROLLBACK TRANSACTION;"
    )
    assert query("SELECT COUNT(*) FROM afil.all_items")[0][0] == 0


def test_send_messages_names_the_first_bad_element_and_writes_none(query: Any) -> None:
    with pytest.raises(DriverError, match="request 2: @platform 'sms'"):
        query(
            "EXEC afil.send_messages @messages = ?",
            '[{"platform":"whatsapp","platformid":"1","destination":"2","message":"x"},'
            '{"platform":"sms","platformid":"1","destination":"2","message":"x"}]',
        )
    assert query("SELECT COUNT(*) FROM afil.all_items")[0][0] == 0


@pytest.mark.parametrize("bad", ["", "x", "{}", None])
def test_send_messages_refuses_what_is_no_json_array(query: Any, bad: str | None) -> None:
    with pytest.raises(DriverError, match="@messages is not a JSON array"):
        query("EXEC afil.send_messages @messages = ?", bad)


GOOD_CALL = "EXEC afil.get_chats @platform = 'whatsapp', @platformid = '1'"


@pytest.mark.parametrize(
    "refused",
    [f"EXEC afil.{procedure} @priority = 10" for procedure in PROCEDURES] + ["EXEC afil.send_messages N'x'"],
    ids=[*PROCEDURES, "send_messages"],
)
def test_a_refused_request_leaves_a_caller_who_catches_it_free_to_commit(query: Any, refused: str) -> None:
    got = query(
        f"""
        SET XACT_ABORT OFF;
        DECLARE @error int, @state int;
        BEGIN TRANSACTION;
        {GOOD_CALL};
        BEGIN TRY
            {refused};
        END TRY
        BEGIN CATCH
            SELECT @error = ERROR_NUMBER(), @state = XACT_STATE();
        END CATCH;
        {GOOD_CALL};
        COMMIT TRANSACTION;
        SELECT @error AS error, @state AS state;
        """
    )
    assert [tuple(r) for r in got] == [(51001, 1)]
    assert query("SELECT COUNT(*) FROM afil.all_items")[0][0] == 2


def test_a_platform_is_kept_in_the_contracts_own_spelling(query: Any) -> None:
    id = execute(query, "send_file", **(good("send_file") | {"platform": "WhatsApp ", "type": "IMAGE "}))
    row = query("SELECT platform, type, conversation FROM afil.outbox WHERE id = ?", id)[0]
    assert tuple(row) == ("whatsapp", "image", "default\x1fwhatsapp\x1f100\x1f34600000000")


@pytest.mark.parametrize(
    ("bad", "named"),
    [({"priority": "high"}, "@priority 'high' is not between 0"), ({"priority": 9999999999}, "@priority '9999999999'"),
     ({"priority": 2.5}, "@priority '2.5'"), ({"send_at": "soon"}, "@send_at 'soon' is not a time: write 2026-01-31T"),
     ({"max_attempts": "x"}, "@max_attempts 'x' is not between 1 and 100")],
)  # fmt: skip
def test_send_messages_refuses_a_value_of_another_type_by_name_and_the_caller_may_go_on(
    query: Any, bad: dict[str, object], named: str
) -> None:
    element = {"platform": "whatsapp", "platformid": "1", "destination": "2", "message": "x"}
    got = query(
        """
        SET XACT_ABORT OFF;
        DECLARE @messages nvarchar(max) = ?, @message nvarchar(max), @state int;
        BEGIN TRANSACTION;
        BEGIN TRY
            EXEC afil.send_messages @messages;
        END TRY
        BEGIN CATCH
            SELECT @message = ERROR_MESSAGE(), @state = XACT_STATE();
        END CATCH;
        COMMIT TRANSACTION;
        SELECT @message AS message, @state AS state;
        """,
        json.dumps([element, element | bad]),
    )[0]
    assert got.message.startswith(f"request 2: {named}")
    assert got.state == 1
    assert query("SELECT COUNT(*) FROM afil.all_items")[0][0] == 0


@pytest.mark.parametrize("text", ['"quoted"', '""', "\\", '\\"', "C:\\new\\table", "😀", " x "])
def test_send_messages_keeps_quotes_backslashes_and_spaces_at_either_end(query: Any, text: str) -> None:
    element = {"platform": "whatsapp", "platformid": "1", "destination": "2", "message": text}
    query("EXEC afil.send_messages @messages = ?", json.dumps([element]))
    assert query("SELECT message FROM afil.all_items")[0][0] == text
