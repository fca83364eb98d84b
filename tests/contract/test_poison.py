"""No row and no answer stops the others: rows written by hand, answers nobody expects, texts that look like code."""

from __future__ import annotations

import http.server
import json
import random
import threading
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from afilsql.api.client import AfilnetClient
from afilsql.cli import app
from afilsql.delivery.worker import Worker
from afilsql.errors import ConfigError
from afilsql.outbox import schema
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from tests.contract.conftest import Engine

CHAT = {"platform": "whatsapp", "platformid": "100"}

TEXTS = [
    "'; DROP TABLE afil.outbox; --",
    "line 1\r\nGO\r\nline 2\nGO\n",
    "-- no comment /* nor this */ */ /*",
    "{order_id} {{x}} {0} %s %(x)s ${x} :name ? @message",
    "a=b&c=d%00+%2B%%&message=x&class=chat",
    '{"status": "ERROR", "error": "INCORRECT_USER_PASSWORD"}]}',
    "\\u0000 \\ud83d \\n \\\\ \\",
    "http://user:pw@10.0.0.1/ http://[::1",
    "👩‍👩‍👧‍👦 🇪🇸 👍🏽 𠜎𝒳",
    "e\u0301 is not é, and Z\u0351\u036b\u0343\u036a\u0302\u036b stays",
    "\u202eabc\u202c \u2066x\u2069 \u200f שלום",
    "\ufeffa\ufeff\u2028b\u2029c\x85d\x0be",
    " leading and trailing \t ",
    "x" * 1_000_000 + "👍",
]


def written(engine: Engine, **columns: Any) -> int:
    """Write a row past every check, as somebody with rights on the table can; return its id."""
    now = datetime.now(UTC).replace(tzinfo=None)
    values = {
        "request_id": uuid.uuid4(), "account": "default", "method": "sendmessage", **CHAT, "destination": "9",
        "message": "hi", "priority": 5, "status": "queued", "turn": 0, "due_at": now, "attempts": 0, "max_attempts": 8,
        "conversation": uuid.uuid4().hex, "created_at": now, "created_by": "dba",
    } | columns  # fmt: skip
    with database(engine).begin() as connection:
        connection.execute(sa.insert(schema.outbox).values(values))
        return int(connection.execute(sa.select(sa.func.max(schema.outbox.c.id))).scalar_one())


def database(engine: Engine) -> sa.Engine:
    found: sa.Engine = engine.outbox._engine  # type: ignore[attr-defined]
    return found


def deliver(engine: Engine, url: str) -> None:
    """Run a worker until nothing waits; it ends by itself and raises nothing."""

    def client_for(account: str) -> AfilnetClient:
        if account != "default":
            raise ConfigError(f"the account '{account}' has no credentials")
        return AfilnetClient("demo", "demo", url=url)

    Worker(engine.outbox, client_for, name="w", concurrency=8, on_unknown="hold", random=random.Random(1).random).run(
        until="drained"
    )


BAD_ROWS: dict[str, tuple[dict[str, Any], str | None]] = {
    "an unknown method": ({"method": "senddove"}, "INVALID_PARAMETER"),
    "a method in capitals": ({"method": "SENDMESSAGE"}, "INVALID_PARAMETER"),
    "no method": ({"method": ""}, "INVALID_PARAMETER"),
    "no destination": ({"destination": None}, "INVALID_PARAMETER"),
    "no message": ({"message": None}, "INVALID_PARAMETER"),
    "a message of spaces": ({"message": " \r\n\t\u3000"}, "INVALID_PARAMETER"),
    "a message too long": ({"message": "x" * 1_048_577}, "INVALID_PARAMETER"),
    "a platform in capitals": ({"platform": "WHATSAPP"}, "INVALID_PARAMETER"),
    "an unknown platform": ({"platform": "fax"}, "INVALID_PARAMETER"),
    "a file without its URL": ({"method": "sendfile", "type": "image"}, "INVALID_PARAMETER"),
    "a private URL": ({"method": "sendfile", "type": "image", "fileurl": "http://10.0.0.5/"}, "INCORRECT_FILEURL"),
    "no tries": ({"max_attempts": 0}, None),
    "a negative number of tries": ({"max_attempts": -5}, None),
    "endless tries": ({"max_attempts": 2**31 - 1}, None),
    "more tries than it has": ({"attempts": 50}, None),
    "as many tries as an integer counts": ({"attempts": 2**31 - 1}, None),
    "an odd priority": ({"priority": 200}, None),
    "a conversation of nothing": ({"conversation": ""}, None),
    "a due time long past": ({"due_at": datetime(1900, 1, 1)}, None),  # noqa: DTZ001 - as stored
}


def test_rows_written_by_hand_stop_neither_the_batch_nor_the_worker(engine: Engine) -> None:
    good = [engine.send(f"good {n}", f"good {n}") for n in range(3)]
    bad = {
        name: written(engine, **{"destination": f"9{n}"} | columns)
        for n, (name, (columns, _)) in enumerate(BAD_ROWS.items())
    }
    stranger = written(engine, account="no such account")
    good += [engine.send(f"good {n}", f"good {n}") for n in range(3, 6)]
    with SandboxServer() as api:
        deliver(engine, api.url)
        arrived = [call["params"]["message"] for call in api.received if call["params"]["message"].startswith("good")]
    assert [engine.status(id) for id in good] == ["sent"] * 6
    assert sorted(arrived) == [f"good {n}" for n in range(6)]
    for name, id in bad.items():
        found, code = engine.outbox.get(id), BAD_ROWS[name][1]
        assert (found.item.status, found.item.error_code) == ("sent" if code is None else "failed", code), name
        assert code is None or (found.history[-1].error_code == code and found.history[-1].detail), name
    assert engine.status(stranger) == "queued"
    assert engine.outbox.status().held == [
        ("no such account", "ACCOUNT_NOT_CONFIGURED: the account 'no such account' has no credentials")
    ]


def test_a_far_send_at_stops_nothing(engine: Engine) -> None:
    far = engine.send("far", send_at=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    near = engine.send("near")
    with SandboxServer() as api:
        deliver(engine, api.url)
    assert (engine.status(far), engine.status(near)) == ("scheduled", "sent")


def test_a_row_whose_attempts_were_set_back_by_hand_is_sent_with_the_others(engine: Engine) -> None:
    with SandboxServer() as api:
        ids = [engine.send("1"), engine.send("2")]
        deliver(engine, api.url)
        with database(engine).begin() as connection:
            columns = {"status": "queued", "turn": 0, "attempts": 0, "completed_at": None}
            connection.execute(sa.update(schema.outbox).values(columns).where(schema.outbox.c.id == ids[0]))
        ids.append(engine.send("3"))
        deliver(engine, api.url)
        assert [engine.status(id) for id in ids] == ["sent"] * 3
        assert len(api.received) == 4


def test_an_unknown_method_whose_lease_ran_out_stops_nothing(engine: Engine) -> None:
    lost = datetime(2020, 1, 1)  # noqa: DTZ001 - as stored
    columns = {"status": "sending", "turn": 1, "attempts": 8, "lease_id": uuid.uuid4(), "lease_until": lost}
    id = written(engine, method="senddove", **columns)
    (claim,) = (engine.send("good"), engine.take())[1]
    assert engine.status(id) == "failed"
    assert claim.parameters["destination"] == "good"


def test_a_row_of_the_embedded_outbox_that_cannot_be_read_fails_alone(engine: Engine) -> None:
    if database(engine).dialect.name != "sqlite":
        pytest.skip("the types of a T-SQL table let no such row in")
    ids = [written(engine) for _ in range(4)]
    with database(engine).begin() as connection:
        for id, change in zip(ids, ("request_id = 'none'", "message = CAST(x'EDA080FF' AS TEXT)",
                                    "request_id = 7", "destination = x'00FF'"), strict=True):  # fmt: skip
            connection.exec_driver_sql(f"UPDATE outbox SET {change} WHERE id = {id}")
    never = written(engine, status="scheduled", turn=None)
    with database(engine).begin() as connection:
        connection.exec_driver_sql(f"UPDATE outbox SET due_at = 'soon' WHERE id = {never}")
    good = engine.send("good")
    with SandboxServer() as api:
        deliver(engine, api.url)
    assert engine.status(good) == "sent"
    with database(engine).begin() as connection:
        rows = connection.exec_driver_sql(f"SELECT status, error_code FROM outbox WHERE id <= {ids[-1]}").fetchall()
    assert {r[0] for r in rows} <= {"failed", "uncertain"}
    assert all(r[1] for r in rows)


@pytest.mark.parametrize("way", ["enqueue_many", "import"])
def test_each_text_arrives_as_it_was_queued(engine: Engine, way: str, tmp_path: Path) -> None:
    if way == "enqueue_many":
        chats = ({**CHAT, "destination": str(n), "message": text} for n, text in enumerate(TEXTS))
        engine.outbox.enqueue_many([Request("sendmessage", chat) for chat in chats])
    else:
        quoted = [text.replace('"', '""') for text in TEXTS]
        lines = [f'whatsapp,100,{n},"{text}"\r\n' for n, text in enumerate(quoted)]
        file = tmp_path / "texts.csv"
        file.write_bytes(("platform,platformid,destination,message\r\n" + "".join(lines)).encode())
        url = database(engine).url.render_as_string(hide_password=False)
        done = CliRunner().invoke(app, ["import", str(file)], env={"AFILSQL_DATABASE_URL": url})
        assert done.exit_code == 0, done.output
    with SandboxServer() as api:
        deliver(engine, api.url)
        arrived = {call["params"]["destination"]: call["params"]["message"] for call in api.received}
    assert arrived == {str(n): text for n, text in enumerate(TEXTS)}


ROW = {"platform": "whatsapp", "platformid": "100", "destination": "346", "message": "x", "messageid": "m", "sent": 1}


def listed(*rows: object) -> bytes:
    return json.dumps({"status": "SUCCESS", "result": {"list": rows}}).encode()


ANSWERS: dict[str, tuple[bytes, str, int]] = {
    # what the API says, how the request ends, how many rows are kept
    "half a surrogate pair": (listed(ROW | {"message": "a\ud83d", "messageid": "half"}), "sent", 1),
    "a NUL": (listed(ROW | {"message": "a\x00b", "messageid": "nul"}), "sent", 1),
    "a date out of range": (listed(ROW | {"messageid": "d1", "datetime": "99999-01-01T00:00:00"},
                                   ROW | {"messageid": "d2", "datetime": "9999-12-31T23:59:59-14:00"},
                                   ROW | {"messageid": "d3", "datetime": "0001-01-01T00:00:00+14:00"},
                                   ROW | {"messageid": "d4", "datetime": "2026-13-45 99:99:99"}), "sent", 4),
    "values far too long": (listed(ROW | {"messageid": "i" * 5000, "status": "s" * 5000, "datetime": "9" * 5000}),
                            "sent", 1),
    "neither true nor false": (listed(ROW | {"messageid": "maybe", "sent": "maybe"}), "sent", 1),
    "values of other types": (listed(ROW | {"messageid": {"a": [1]}, "message": [1, {"b": None}], "status": 1e300}),
                              "sent", 1),
    "the same id twice": (listed(*[ROW | {"messageid": "twice"}] * 2), "sent", 1),
    "nine megabytes": (listed(ROW | {"messageid": "big", "message": "x" * 9_000_000}), "sent", 1),
    "deep JSON": (listed(ROW | {"messageid": "deep", "more": json.loads("[" * 90 + "]" * 90)}), "sent", 1),
    "abysmal JSON": (b"[" * 100_000, "failed", 0),
    "not UTF-8": (b'{"status": "SUCCESS", "result": {"list": ["\xff\xfe\x00"]}}', "failed", 0),
    "ten megabytes and more": (b"x" * 10_000_001, "failed", 0),
    "a code of five thousand letters": (json.dumps({"status": "error", "error": "\ud800X" * 2500}).encode(),
                                        "failed", 0),
}  # fmt: skip


@contextmanager
def answering(answers: dict[str, bytes]) -> Iterator[str]:
    """A server that answers a request by its destination; yields its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            body = answers[form["destination"][0]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_answers_nobody_expects_stop_neither_the_batch_nor_the_worker(engine: Engine) -> None:
    good = listed(ROW | {"messageid": "good"})
    requests = [
        Request("getmessages", {**CHAT, "destination": name}, account=account, max_attempts=1)
        for name in (*ANSWERS, "good")
        for account in ("default",)
    ]
    ids = dict(zip((*ANSWERS, "good"), engine.outbox.enqueue_many(requests), strict=True))
    with answering({name: body for name, (body, _, _) in ANSWERS.items()} | {"good": good}) as url:
        deliver(engine, url)
    assert engine.status(ids["good"]) == "sent"
    for name, (_, status, _) in ANSWERS.items():
        found = engine.outbox.get(ids[name])
        assert found.item.status == status, (name, found)
        assert status == "sent" or (found.item.error_code and found.history[-1].detail), name
    kept = {r["messageid"] for r in engine.outbox.rows_of("messages")}
    assert len(kept) == 1 + sum(rows for _, _, rows in ANSWERS.values())
    assert {"good", "half", "nul", "d1", "d2", "d3", "d4", "maybe", "twice", "big", "deep"} <= kept
