"""Real workers over other transports than `post`: tokens that end at any time, and URLs that are too long."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from afilsql.deploy import migrate
from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from tests.faults.processes import ended, workers

pytestmark = pytest.mark.skipif(os.name == "nt", reason="workers are stopped the POSIX way")

MESSAGES = 600
CHAT = {"platform": "whatsapp", "platformid": "100"}


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
def test_each_message_arrives_once_while_tokens_expire_and_are_revoked(tmp_path: Path, grant: str) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    migrate(url)
    with SandboxServer(token_seconds=1, latency=0.01) as api, open_outbox(url) as outbox:
        outbox.enqueue_many(
            [Request("sendmessage", {**CHAT, "destination": str(n), "message": "Hi"}) for n in range(MESSAGES)]
        )
        done = threading.Event()

        def revoke() -> None:
            # After so many messages, not so much time: a call that meets two revoked tokens holds the account.
            revoked_at = 0
            while not done.wait(0.01):
                if api.sandbox.count >= revoked_at + 60:
                    api.sandbox.oauth.revoke_all()
                    revoked_at = api.sandbox.count

        revoking = threading.Thread(target=revoke)
        revoking.start()
        oauth = {
            "AFILSQL_TRANSPORT": "json",
            "AFILSQL_GRANT": grant,
            "AFILSQL_TOKEN_URL": api.token_url,
            "AFILSQL_CLIENT_ID": "demo",
            "AFILSQL_CLIENT_SECRET": "demo",
        }
        try:
            while (counts := outbox.status().counts)["queued"]:
                with workers(2, url, api.url_of("json"), **oauth) as processes:
                    for process in processes:
                        ended(process)
                    said = processes[0].said()[-2000:]
                # Two tokens that ended before their one call, as when nobody is let run for a second, hold an account.
                outbox.release_account("default")
                assert outbox.status().counts["sent"] > counts["sent"], said
        finally:
            done.set()
            revoking.join()
        counts = outbox.status().counts
        assert counts["sent"] == MESSAGES
        arrived = Counter(call["params"]["destination"] for call in api.received)
    assert len(arrived) == MESSAGES
    assert set(arrived.values()) == {1}
    assert api.sandbox.oauth.issued >= 4


def test_a_message_too_long_for_a_url_fails_and_says_what_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    migrate(url)
    with SandboxServer() as api, open_outbox(url) as outbox:
        texts = ("short", "x" * 5_000)
        short, long = outbox.enqueue_many(
            [Request("sendmessage", {**CHAT, "destination": text[:1], "message": text}) for text in texts]
        )
        with workers(1, url, api.url_of("get"), AFILSQL_TRANSPORT="get") as (process,):
            ended(process)
            warnings = process.events("transport")
            said = process.said()
        assert [call["params"]["message"] for call in api.received] == ["short"]
        assert outbox.get(short).item.status == "sent"
        failed = outbox.get(long)
    assert (failed.item.status, failed.item.error_code) == ("failed", "URL_TOO_LONG")
    detail = failed.history[0].detail or ""
    for told in ("characters long", "4000", "another transport"):
        assert told in detail
    assert [(entry["level"], entry["account"]) for entry in warnings] == [("warning", "default")]
    assert "password into the URL" in warnings[0]["detail"]
    assert "xxxxx" not in said
