"""A real worker makes the accounts of its settings known; from then on others are refused."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from afilsql.errors import InvalidParameter
from afilsql.outbox import open_outbox
from afilsql.outbox.base import Outbox
from afilsql.outbox.records import Account, Request
from tests.faults.processes import WORKER, ended, environment, sandbox, workers
from tests.patience import PATIENCE

CHAT = {"platformid": "100", "destination": "34600000000", "message": "hi"}
ACCOUNTS = json.dumps({"shop": {"user": "demo", "password": "demo", "platforms": ["whatsapp", "webchat"]}})


def send(outbox: Outbox, account: str, platform: str = "whatsapp") -> int:
    return outbox.enqueue(Request("sendmessage", CHAT | {"platform": platform}, account=account))


def test_after_its_start_an_unknown_account_is_refused_and_a_known_one_accepted(empty_outbox: str) -> None:
    with sandbox() as api, open_outbox(empty_outbox) as outbox:
        send(outbox, "nobody")
        with workers(1, empty_outbox, api.url, command=WORKER, AFILSQL_ACCOUNTS=ACCOUNTS) as (process,):
            end = time.monotonic() + PATIENCE
            while not outbox.status().accounts:
                assert process.poll() is None, process.said()
                assert time.monotonic() < end, "no account became known"
                time.sleep(0.05)
            assert outbox.status().accounts == [Account("default"), Account("shop", ("whatsapp", "webchat"))]
            with pytest.raises(InvalidParameter, match=r"@account 'nobody' is not known .*known: default, shop"):
                send(outbox, "nobody")
            with pytest.raises(InvalidParameter, match="@platform 'telegram' is not one of the account 'shop'"):
                send(outbox, "shop", "telegram")
            ids = [send(outbox, "shop"), send(outbox, "default")]
            while [outbox.get(id).item.status for id in ids] != ["sent", "sent"]:
                assert process.poll() is None, process.said()
                assert time.monotonic() < end, "what is known was not sent"
                time.sleep(0.05)
        # What waited for an account that it lacks is held as before, and stays.
        assert dict(outbox.status().held).keys() == {"nobody"}
        assert [i.account for i in outbox.items(status="queued")] == ["nobody"]


def test_what_is_known_stays_when_the_worker_ends_and_the_commands_say_so(empty_sqlite: str) -> None:
    with sandbox() as api, workers(1, empty_sqlite, api.url, AFILSQL_ACCOUNTS=ACCOUNTS) as (process,):
        ended(process)
        environ = environment(empty_sqlite, api.url)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "afilsql", *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE)

    chat = ("--platform", "whatsapp", "--platformid", "100", "--destination", "1", "--message", "hi")
    refused = run("send", *chat, "--account", "shpo")
    assert refused.returncode == 2
    assert "@account 'shpo' is not known to any worker (known: default, shop)" in " ".join(refused.stderr.split())
    assert run("send", *chat, "--account", "shop").returncode == 0
    status: dict[str, Any] = json.loads(run("status", "--json").stdout)
    assert status["accounts"] == [
        {"name": "default", "platforms": None},
        {"name": "shop", "platforms": ["whatsapp", "webchat"]},
    ]
    shown = run("status").stdout
    assert "Known accounts" in shown
    assert "whatsapp, webchat" in shown


@pytest.mark.parametrize(
    ("options", "code", "queued"), [((), 2, []), (("--skip-bad",), 1, ["a", "d"])], ids=["all or none", "skip bad"]
)
def test_an_import_tells_lines_of_unknown_accounts_by_their_numbers(
    empty_sqlite: str, tmp_path: Path, options: tuple[str, ...], code: int, queued: list[str]
) -> None:
    file = tmp_path / "many.csv"
    file.write_text(
        "account,platform,platformid,destination,message\nshop,whatsapp,100,1,a\nshpo,whatsapp,100,2,b\n"
        "shop,telegram,100,3,c\nshop,whatsapp,100,4,d\n"
    )
    with open_outbox(empty_sqlite) as outbox:
        outbox.announce([Account("shop", ("whatsapp",))])
        command = [sys.executable, "-m", "afilsql", "import", str(file), *options]
        done = subprocess.run(
            command, env=environment(empty_sqlite, ""), capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == code
        told = " ".join(done.stderr.split())
        assert "line 3: @account 'shpo' is not known to any worker (known: shop): correct it" in told
        assert "line 4: @platform 'telegram' is not one of the account 'shop', which has whatsapp: use" in told
        assert [i.parameters["message"] for i in reversed(outbox.items())] == queued
