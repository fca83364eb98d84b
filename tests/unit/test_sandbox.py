"""The simulated API keeps the contract, and misbehaves when told to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from afilsql.api.client import AfilnetClient
from afilsql.api.methods import ERROR_CODES
from afilsql.errors import ApiError, ConfigError, CredentialsRefused, DeliveryUnknown, NotSent, Refused
from afilsql.sandbox import SandboxServer
from afilsql.sandbox.faults import FAULT_KINDS, Faults
from afilsql.sandbox.state import CHECK_ORDER, HISTORY, SEEDED_DESTINATION, State
from tests.patience import PATIENCE

CALL = {"user": "demo", "password": "demo", "class": "chat"}
CHAT = {"platform": "whatsapp", "platformid": "100", "destination": "1"}
SEEDED = CHAT | {"destination": SEEDED_DESTINATION}
FILE = {"type": "image", "fileurl": "https://x.example/y.png"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def api(sandbox: SandboxServer) -> Iterator[AfilnetClient]:
    with AfilnetClient("demo", "demo", url=sandbox.url, read_timeout=PATIENCE) as client:
        yield client


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "MISSING_USER"),
        ({"user": "demo"}, "MISSING_PASSWORD"),
        ({"user": "demo", "password": "x"}, "INCORRECT_USER_PASSWORD"),
        ({"user": "demo", "password": "demo"}, "MISSING_CLASS"),
        (CALL | {"class": "sms"}, "INCORRECT_CLASS"),
        (CALL, "MISSING_METHOD"),
        (CALL | {"method": "x"}, "INCORRECT_METHOD"),
        (CALL | {"method": "sendmessage"} | CHAT, "MISSING_COMPULSORY_PARAM"),
        (CALL | {"method": "sendmessage", "message": "m"} | CHAT | {"platformid": "9"}, "CHANNEL_NOT_FOUND"),
        (CALL | {"method": "getmessages"} | CHAT | {"destination": "nobody"}, "CHAT_NOT_FOUND"),
        (CALL | {"method": "sendfile"} | CHAT | FILE | {"destination": "nobody"}, "CHAT_NOT_FOUND"),
        (CALL | {"method": "sendfile"} | SEEDED | FILE | {"type": "gif"}, "INCORRECT_FILETYPE"),
        (CALL | {"method": "sendfile"} | SEEDED | FILE | {"fileurl": "y.png"}, "INCORRECT_FILEURL"),
        (CALL | {"method": "sendfile"} | SEEDED | FILE | {"thumburl": "y.png"}, "INCORRECT_THUMBURL"),
    ],
)
@pytest.mark.parametrize("verb", ["POST", "GET"])
def test_each_fault_of_a_call_meets_its_code(
    sandbox: SandboxServer, verb: str, parameters: dict[str, str], code: str
) -> None:
    where = {"data": parameters} if verb == "POST" else {"params": parameters}
    answer = requests.request(verb, sandbox.url, timeout=PATIENCE, **where)  # type: ignore[arg-type]
    assert answer.json() == {"status": "ERROR", "error": code}


def test_every_code_of_the_contract_is_checked() -> None:
    assert set(CHECK_ORDER) == set(ERROR_CODES)


def test_a_message_sent_is_read_back(api: AfilnetClient) -> None:
    text = "ñ & 50% +1 😀\nline two"
    api.send_message("telegram", "200", "back", text)
    (row,) = api.get_messages("telegram", "200", "back").dicts()
    assert (row["message"], row["sent"], row["destination"]) == (text, True, "back")
    assert row["messageid"]
    assert [c["destination"] for c in api.get_chats("telegram", "200").dicts()] == [SEEDED_DESTINATION, "back"]
    assert api.get_unread_messages("telegram", "200", "back").rows == ()


def test_every_channel_starts_with_one_unread_message(api: AfilnetClient) -> None:
    channels = api.get_chat_channels().dicts()
    assert [c["platform"] for c in channels] == ["whatsapp", "telegram", "webchat", "operator"]
    for channel in channels:
        (row,) = api.get_unread_messages(channel["platform"], channel["platformid"], SEEDED_DESTINATION).dicts()
        assert row["sent"] is False


def test_unread_messages_say_issent_and_the_others_sent(sandbox: SandboxServer) -> None:
    for method, field in (("getunreadmessages", "issent"), ("getmessages", "sent")):
        answer = requests.post(sandbox.url, data=CALL | {"method": method} | SEEDED, timeout=PATIENCE).json()
        assert answer["status"] == "SUCCESS"
        assert set(answer["result"]["list"][0]) == {
            "platformid", "platform", "message", "destination", "messageid", field, "status", "datetime",
        }  # fmt: skip


def test_a_file_goes_to_an_existing_chat(api: AfilnetClient) -> None:
    api.send_file("webchat", "300", SEEDED_DESTINATION, "image", "https://x.example/y.png", message="See")
    assert api.get_messages("webchat", "300", SEEDED_DESTINATION).dicts()[-1]["message"] == "See"


def test_accounts_do_not_see_each_others_chats() -> None:
    with SandboxServer(accounts=None) as server:
        AfilnetClient("one", "x", url=server.url).send_message("whatsapp", "100", "1", "m")
        with pytest.raises(Refused, match="CHAT_NOT_FOUND"):
            AfilnetClient("two", "y", url=server.url).get_messages("whatsapp", "100", "1")


def test_a_wrong_password_is_refused(sandbox: SandboxServer) -> None:
    with pytest.raises(CredentialsRefused), AfilnetClient("demo", "wrong-one", url=sandbox.url) as client:
        client.get_chat_channels()


@pytest.mark.parametrize(
    ("kind", "error", "code"),
    [
        ("503", NotSent, "HTTP_503"),
        ("429", NotSent, "HTTP_429"),
        ("500", DeliveryUnknown, "HTTP_500"),
        ("close", DeliveryUnknown, "CONNECTION_BROKEN"),
        ("html", DeliveryUnknown, "NOT_JSON"),
    ],
)
def test_a_marked_message_fails_once_and_then_passes(
    sandbox: SandboxServer, api: AfilnetClient, kind: str, error: type[ApiError], code: str
) -> None:
    before = len(sandbox.received)
    with pytest.raises(error) as caught:
        api.send_message("whatsapp", "100", "1", f"m [sandbox:{kind}]")
    assert caught.value.code == code
    assert len(sandbox.received) == before
    api.send_message("whatsapp", "100", "1", f"m [sandbox:{kind}]")
    assert len(sandbox.received) == before + 1


def test_beyond_the_rate_limit_it_answers_429_with_retry_after() -> None:
    with SandboxServer(rate_limit=2) as server, AfilnetClient("demo", "demo", url=server.url) as client:
        client.get_chat_channels()
        client.get_chat_channels()
        with pytest.raises(NotSent) as caught:
            client.get_chat_channels()
    assert caught.value.retry_after == 1.0


def test_the_rate_limit_fills_up_again() -> None:
    faults = Faults(2, 0, "503", lambda: 0.5)
    assert [faults.over_limit("u", 0.0) for _ in range(3)] == [None, None, 1]
    assert faults.over_limit("other", 0.0) is None
    assert faults.over_limit("u", 0.5) is None


def test_the_same_seed_meets_the_same_faults() -> None:
    def run() -> list[int]:
        with SandboxServer(fail_rate=0.5, fault="500", seed=7) as server, requests.Session() as session:
            data = CALL | {"method": "getchatchannels"}
            return [session.post(server.url, data=data, timeout=PATIENCE).status_code for _ in range(20)]

    first = run()
    assert set(first) == {200, 500}
    assert run() == first


def test_latency_holds_the_answer_back_and_not_other_calls() -> None:
    with SandboxServer(latency=1.0) as server, AfilnetClient("demo", "demo", url=server.url) as client:
        client_calls = [threading.Thread(target=client.get_chat_channels) for _ in range(5)]
        began = time.monotonic()
        for call in client_calls:
            call.start()
        for call in client_calls:
            call.join()
        took = time.monotonic() - began
    assert 1.0 <= took < 4.5
    assert len(server.received) == 5


def test_one_answer_after_the_other_comes_without_delay(api: AfilnetClient) -> None:
    took: list[float] = []
    for _ in range(20):
        began = time.monotonic()
        api.get_chat_channels()
        took.append(time.monotonic() - began)
    assert min(took[1:]) < 0.035  # a delayed acknowledgement would make each of them take 0.04


def test_what_was_received_is_kept_in_order_without_the_password(sandbox: SandboxServer, api: AfilnetClient) -> None:
    base, before = sandbox.base_url, sandbox.sandbox.count
    for number in range(3):
        api.send_message("operator", "400", "9", f"m{number}")
    records = sandbox.received[before:]
    assert [r["params"]["message"] for r in records] == ["m0", "m1", "m2"]
    assert set(records[0]) == {"n", "at", "method", "user", "params"}
    seen = requests.get(f"{base}/received", params={"since": before}, timeout=PATIENCE).json()
    assert [(r["n"], r["message"], r["method"]) for r in seen] == [
        (before + 1 + n, f"m{n}", "sendmessage") for n in range(3)
    ]
    assert "password" not in seen[0]
    assert len(requests.get(f"{base}/received", params={"since": before, "limit": 1}, timeout=PATIENCE).json()) == 1
    assert requests.get(f"{base}/received?since=x", timeout=PATIENCE).status_code == 400
    assert requests.get(f"{base}/health", timeout=PATIENCE).json() == {"status": "ok", "received": before + 3}


def test_a_chat_forgets_its_oldest_messages() -> None:
    state = State(None)
    for number in range(HISTORY + 5):
        state.perform({"user": "u", "method": "sendmessage", **CHAT, "message": str(number)})
    rows = state.perform({"user": "u", "method": "getmessages", **CHAT})
    assert rows is not None
    assert (len(rows), rows[0]["message"]) == (HISTORY, "5")


WROTE = {"user": "demo", **CHAT, "message": "Where is it?"}


def test_a_customer_writes_in_a_new_chat_and_is_listed_as_unread() -> None:
    with SandboxServer() as server, AfilnetClient("demo", "demo", url=server.url) as client:
        answer = requests.post(
            f"{server.base_url}/customer", json=WROTE | {"message": "¿Dónde está? 😀\n"}, timeout=PATIENCE
        )
        second = server.sandbox.customer_says("demo", *CHAT.values(), "Hello?")
        rows = client.get_unread_messages(*CHAT.values()).dicts()
        assert [(r["message"], r["sent"], r["messageid"]) for r in rows] == [
            ("¿Dónde está? 😀\n", False, answer.json()["messageid"]),
            ("Hello?", False, second),
        ]
        assert "1" in [c["destination"] for c in client.get_chats("whatsapp", "100").dicts()]
        assert [c["method"] for c in server.received] == ["getunreadmessages", "getchats"]  # the account's own calls


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"{", "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "user, platform, platformid, destination, message"),
        (json.dumps({k: v for k, v in WROTE.items() if k != "message"}).encode(), "JSON object of the texts"),
        (json.dumps(WROTE | {"destination": 34600000000}).encode(), "JSON object of the texts"),
        (json.dumps(WROTE | {"user": "nobody"}).encode(), "no user 'nobody'"),
        (json.dumps(WROTE | {"platformid": "9"}).encode(), "no channel 'whatsapp' '9' here, only whatsapp 100"),
        (json.dumps(WROTE | {"message": " "}).encode(), "message is 1 characters long"),
        (json.dumps(WROTE | {"destination": "1" * 201}).encode(), "destination is 201 characters long: give 1 to 200"),
    ],
)
def test_what_no_customer_can_write_is_a_bad_request_that_says_why(
    sandbox: SandboxServer, body: bytes, wrong: str
) -> None:
    answer = requests.post(f"{sandbox.base_url}/customer", data=body, timeout=PATIENCE)
    assert answer.status_code == 400
    assert wrong in answer.text


def call(state: State, method: str, **parameters: str) -> list[dict[str, Any]]:
    return state.perform({"user": "u", "method": method, **CHAT, **parameters}) or []


def test_a_message_sent_is_delivered_and_then_read_as_it_gets_older() -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    state = State(None, clock=lambda: now[0], delivered_after=2, read_after=5)
    call(state, "sendmessage", message="m")
    state.customer_says("u", *CHAT.values(), "c")
    seen = []
    for _ in range(4):
        seen.append([row["status"] for row in call(state, "getmessages")])
        now[0] += timedelta(seconds=2)
    assert [sent for sent, _ in seen] == ["sent", "delivered", "delivered", "read"]
    assert {received for _, received in seen} == {"received"}
    assert call(state, "getchats")[-1]["status"] == "received"


def test_a_message_stays_sent_unless_a_switch_says_when_it_is_delivered() -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    state = State(None, clock=lambda: now[0])
    call(state, "sendmessage", message="m")
    now[0] += timedelta(days=400)
    assert call(state, "getmessages")[0]["status"] == "sent"


def test_an_auto_customer_answers_each_message_once() -> None:
    state = State(None, auto_customer="Who is this?")
    for text in ("a", "b"):
        call(state, "sendmessage", message=text)
    assert [(m["message"], m["sent"]) for m in call(state, "getmessages")] == [
        ("a", True),
        ("Who is this?", False),
        ("b", True),
        ("Who is this?", False),
    ]


def test_lists_can_begin_with_the_newest() -> None:
    state = State(None, newest_first=True, list_latest=2)
    for text in ("a", "b", "c"):
        state.customer_says("u", *CHAT.values(), text)
    state.customer_says("u", "whatsapp", "100", SEEDED_DESTINATION, "later")
    assert [m["message"] for m in call(state, "getmessages")] == ["c", "b"]
    assert [m["message"] for m in call(state, "getunreadmessages")] == ["c", "b", "a"]
    assert [m["message"] for m in call(state, "getchats")] == ["later", "c"]
    assert [c["platform"] for c in call(state, "getchatchannels")] == ["whatsapp", "telegram", "webchat", "operator"]


def test_unread_messages_stay_unread_or_are_listed_once() -> None:
    for mark_read, second in ((False, 1), (True, 0)):
        state = State(None, mark_read=mark_read)
        state.customer_says("u", *CHAT.values(), "a")
        assert len(call(state, "getunreadmessages")) == 1
        assert len(call(state, "getunreadmessages")) == second
        assert len(call(state, "getmessages")) == 1


def test_customers_write_while_the_account_reads() -> None:
    with SandboxServer() as server, AfilnetClient("demo", "demo", url=server.url) as client:
        place = ("demo", *CHAT.values())
        server.sandbox.customer_says(*place, "first")
        writer = threading.Thread(target=lambda: [server.sandbox.customer_says(*place, str(n)) for n in range(3000)])
        writer.start()
        seen = [len(client.get_messages(*CHAT.values()).rows) for _ in range(10)]
        writer.join()
        assert seen == sorted(seen)
        assert client.get_messages(*CHAT.values()).dicts()[-1]["message"] == "2999"


def test_the_command_lets_customers_write_and_answer() -> None:
    command = [sys.executable, "-m", "afilsql", "sandbox", "--port", "0", "--auto-customer", "Thanks", "--newest-first"]
    command += ["--mark-read", "--delivered-after", "0", "--read-after", "9999"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split(" at ")[1].split()[0]
            with AfilnetClient("demo", "demo", url=url) as client:
                client.send_message(*CHAT.values(), "m")
                listed = client.get_messages(*CHAT.values()).dicts()
                unread = [len(client.get_unread_messages(*CHAT.values()).rows) for _ in range(2)]
            assert (
                requests.post(url.replace("/api/http/", "/customer"), json=WROTE, timeout=PATIENCE).status_code == 200
            )
        finally:
            process.kill()
    assert [(m["message"], m["status"]) for m in listed] == [("Thanks", "received"), ("m", "delivered")]
    assert unread == [1, 0]


def test_a_body_that_is_not_utf8_is_a_bad_request(sandbox: SandboxServer) -> None:
    for body in (b"user=\xff", b"user=%FF", b"&".join([b"a=b"] * 60)):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert requests.post(sandbox.url, data=body, headers=headers, timeout=PATIENCE).status_code == 400


@pytest.mark.parametrize(
    "switches",
    [
        {"latency": -1},
        {"rate_limit": 0},
        {"fail_rate": 2},
        {"fault": "418"},
        {"fail_rate": float("nan")},
        {"delivered_after": -1},
        {"read_after": float("nan")},
        {"auto_customer": " "},
    ],
)
def test_a_switch_out_of_range_is_refused(switches: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="sandbox's"):
        SandboxServer(**switches)  # type: ignore[arg-type]


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=str(port)):
            SandboxServer(port).start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_stops_quietly_on_a_signal(number: signal.Signals) -> None:
    code = "from afilsql.sandbox import serve; serve(0, ready=lambda url: print(url, flush=True))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        health = url.replace("/api/http/", "/health")
        for _ in range(100):
            try:
                assert requests.get(health, timeout=PATIENCE).json()["status"] == "ok"
                break
            except requests.ConnectionError:
                time.sleep(0.01)
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")


def test_the_documented_fault_kinds_are_these() -> None:
    assert FAULT_KINDS == ("503", "429", "500", "close", "html", "lost")
