"""A worker process whose password is changed while it runs: held, given a new one, released, and all is delivered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from afilsql.api.client import AfilnetClient
from afilsql.api.transports import Login
from afilsql.clients import Clients
from afilsql.config import Settings
from afilsql.deploy import migrate
from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from tests.faults.tls import Api, Authority, listening
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are delivered the POSIX way")

FIRST, SECOND = "first-Word-1", "second-Word-2"


def put(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.touch(0o600)
    fresh.write_text(text)
    fresh.rename(path)


def settings_file(folder: Path, password: str) -> dict[str, str]:
    put(folder / "afilsql.toml", f"[accounts.default]\nuser = 'ana'\npassword = '{password}'\n")
    return {"AFILSQL_CONFIG": str(folder / "afilsql.toml")}


def password_file(folder: Path, password: str) -> dict[str, str]:
    put(folder / "password", password + "\n")
    return {"AFILSQL_USER": "ana", "AFILSQL_PASSWORD_FILE": str(folder / "password")}


def systemd(folder: Path, password: str) -> dict[str, str]:
    put(folder / "afilsql.password", password)
    return {"AFILSQL_USER": "ana", "CREDENTIALS_DIRECTORY": str(folder)}


@contextmanager
def worker(environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "afilsql", "worker"],
            env={**clean, **environ, "AFILSQL_LOG_FORMAT": "json"},
            stdout=out,
            stderr=out,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def until(
    condition: Callable[[], object], process: subprocess.Popen[bytes], log: Path, seconds: float = PATIENCE
) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)


@pytest.mark.parametrize("source", [settings_file, password_file, systemd])
def test_a_new_password_reaches_a_running_worker(tmp_path: Path, source: Callable[[Path, str], dict[str, str]]) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir(0o700)
    accounts, log = {"ana": FIRST}, tmp_path / "log"
    url = f"sqlite:///{tmp_path / 'a.db'}"
    migrate(url)
    chat = {"platform": "whatsapp", "platformid": "100", "message": "Hi"}
    with SandboxServer(accounts=accounts) as api, open_outbox(url) as outbox:
        environ = {"AFILSQL_DATABASE_URL": url, "AFILSQL_API_URL": api.url, **source(secrets, FIRST)}
        with worker(environ, log) as process:

            def queue(first: int) -> None:
                outbox.enqueue_many(
                    [Request("sendmessage", {**chat, "destination": str(n)}) for n in range(first, first + 20)]
                )

            queue(0)
            until(lambda: outbox.status().counts["sent"] == 20, process, log)
            accounts["ana"] = SECOND
            queue(20)
            until(lambda: outbox.status().held, process, log)
            source(secrets, SECOND)
            time.sleep(1)  # the file is left alone before it is believed
            outbox.release_account("default")
            until(lambda: outbox.status().counts["sent"] == 40, process, log)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        said = log.read_text()
        assert len(api.received) == 40
    assert "login_changed" in said
    assert said.count("worker_started") == 1
    assert FIRST not in said
    assert SECOND not in said


def test_a_call_in_flight_ends_with_the_old_client_whose_connections_then_close(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    served = Api(authority.context())
    logins = iter([Login("ana", _secret(FIRST)), Login("ana", _secret(SECOND)), Login("ana", _secret(SECOND))])
    with listening(served.serve) as port:
        settings = Settings(
            user="ana",
            api_url=f"https://localhost:{port}/api/http/",
            ca_bundle=authority.bundle,
            concurrency=2,
            proxy="none",
        )
        clients = Clients(settings, lambda account: next(logins))
        old: AfilnetClient = clients("default")
        new = clients("default")
        assert new is not old
        assert clients("default") is new
        for client in (old, new):
            client.send_message("whatsapp", "100", "346", "Hi")
        clients.close()
        for client in (old, new):
            client.send_message("whatsapp", "100", "346", "Hi")
    bodies = [request.partition(b"\r\n\r\n")[2].decode() for request in served.requests]
    assert [FIRST in body for body in bodies] == [True, False, True, False]


def _secret(text: str):
    from pydantic import SecretStr

    return SecretStr(text)
