"""`afilsql check` against servers of every kind: one account each, all tried in one run."""

from __future__ import annotations

import datetime
import json
import os
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from afilsql.sandbox import SandboxServer
from tests.faults.tls import Api, Authority, Proxy, listening, read_request
from tests.patience import PATIENCE

PASSWORD = "s3cret-Word"
PROXY_PASSWORD = "Pr0xy-w@rd"
ME = {"user": "ana", "password": PASSWORD}
OAUTH = {"transport": "json", "client_id": "app", "client_secret": "cl1ent-Word"}
SECRETS = (PASSWORD, PROXY_PASSWORD, quote(PROXY_PASSWORD, safe=""), "cl1ent-Word")


def run(folder: Path, accounts: dict[str, Any], *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_") and not k.lower().endswith("_proxy")}
    environ = {**clean, "AFILSQL_ACCOUNTS": json.dumps(accounts), "AFILSQL_PROXY": "none", **settings}
    command = [sys.executable, "-m", "afilsql", "check", *options]
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    for secret in SECRETS:
        assert secret not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert list(folder.glob("*.db")) == [], "no database is made"
    return done


def found(folder: Path, accounts: dict[str, Any], *options: str, **settings: str) -> dict[str, dict[str, Any]]:
    done = run(folder, accounts, "--json", *options, **settings)
    assert done.stdout, done.stderr
    return {each["account"]: each for each in json.loads(done.stdout)}


def kinds(folder: Path, accounts: dict[str, Any], *options: str, **settings: str) -> dict[str, str]:
    return {name: each["kind"] for name, each in found(folder, accounts, *options, **settings).items()}


def says(answer: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    return serve


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("check") / "ca")


@pytest.fixture(scope="module")
def api() -> Iterator[SandboxServer]:
    with SandboxServer(accounts={"ana": PASSWORD, "app": "x"}, clients={"app": "cl1ent-Word"}) as server:
        yield server


def test_each_transport_is_tried_and_its_channels_are_told(api: SandboxServer, tmp_path: Path) -> None:
    accounts = {
        "post": {**ME, "api_url": api.url},
        "get": {**ME, "transport": "get", "api_url": api.url},
        "basic": {**ME, "transport": "basic", "api_url": api.url_of("basic")},
        "json": {**ME, **OAUTH, "api_url": api.url_of("json"), "token_url": api.token_url},
        "soap": {**ME, "transport": "soap", "wsdl": api.wsdl},
    }
    before = len(api.received)
    done = run(tmp_path, accounts, "--json")
    assert done.returncode == 0
    told = {each["account"]: each for each in json.loads(done.stdout)}
    assert {name: (each["kind"], each["ok"], len(each["channels"])) for name, each in told.items()} == dict.fromkeys(
        accounts, ("ok", True, 4)
    )
    assert told["soap"]["channels"][0] == {"platform": "whatsapp", "platformid": "100", "name": "Sandbox WhatsApp"}
    assert told["soap"]["address"] == api.url_of("soap")
    assert [bool(each["notes"]) for each in told.values()] == [name == "get" for name in told]
    assert [call["method"] for call in api.received[before:]] == ["getchatchannels"] * 5


def test_platforms_without_a_channel_are_pointed_out(tmp_path: Path) -> None:
    with SandboxServer(accounts=None, channels=[("whatsapp", "100", "Shop")]) as server:
        shop = {**ME, "api_url": server.url, "platforms": ["whatsapp", "telegram", "operator"]}
        done = run(tmp_path, {"shop": shop})
    assert done.returncode == 0
    assert "without a channel: telegram, operator" in done.stdout


def test_each_kind_of_answer_is_explained(api: SandboxServer, tmp_path: Path) -> None:
    answers = {
        "forbidden": http(403),
        "credentials": http(401),
        "redirect": http(301, b"", "Location: https://x.example/"),
        "too many requests": http(429, b"", "Retry-After: 120"),
        "not available": http(503, b"", "Retry-After: 5"),
        "not the API": http(404),
        "connection broken": b"",
        "server error": http(502),
        "refused by the API": http(200, b'{"status": "ERROR", "error": "E17"}'),
    }
    with ExitStack() as servers:
        ports = {kind: servers.enter_context(listening(says(answer))) for kind, answer in answers.items()}
        html = servers.enter_context(listening(says(http(200, b"<!doctype html><p>Welcome"))))
        accounts: dict[str, Any] = {
            kind: {**ME, "api_url": f"http://127.0.0.1:{port}/"} for kind, port in ports.items()
        }
        accounts["html"] = {**ME, "api_url": f"http://127.0.0.1:{html}/"}
        accounts["wrong"] = {**ME, "user": "bob", "api_url": api.url}
        told = found(tmp_path, accounts)
    expected = {kind: kind for kind in answers} | {"html": "not the API", "wrong": "credentials"}
    assert {name: each["kind"] for name, each in told.items()} == expected
    assert told["too many requests"]["again_in"] == 120
    assert "120 s" in told["too many requests"]["advice"]
    assert "INCORRECT_USER_PASSWORD" in told["wrong"]["what"]


def test_where_no_connection_comes_about_it_says_why(authority: Authority, tmp_path: Path) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    old = authority.context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    contexts = {
        "certificate expired": authority.context(valid_until=yesterday),
        "certificate of another name": authority.context("other.example.com"),
        "certificate not trusted": Authority(tmp_path / "other").context(),
        "TLS too old": old,
        "ok": authority.context(),
    }

    def plain(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(http(400))

    with ExitStack() as servers:
        ports = {kind: servers.enter_context(listening(Api(context).serve)) for kind, context in contexts.items()}
        ports["no TLS there"] = servers.enter_context(listening(plain))
        silent = servers.enter_context(socket.create_server(("127.0.0.1", 0)))
        ports["connect time-out"] = silent.getsockname()[1]
        closed = servers.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))
        ports["connection refused"] = closed.getsockname()[1]
        accounts = {kind: {**ME, "api_url": f"https://localhost:{port}/"} for kind, port in ports.items()}
        accounts["name not found"] = {**ME, "api_url": "https://api.invalid/"}
        told = kinds(tmp_path, accounts, "--timeout", "3", AFILSQL_CA_BUNDLE=str(authority.bundle))
    # The server that works answers {}, which is no list of channels.
    assert told == {kind: kind for kind in accounts} | {"ok": "not the API"}


def test_a_client_certificate_is_shown_as_by_a_worker(authority: Authority, tmp_path: Path) -> None:
    context = authority.context()
    context.verify_mode = ssl.CERT_REQUIRED
    cert, key = authority.issue("worker.example.com")
    served = Api(context)
    with listening(served.serve) as port:
        account = {"shop": {**ME, "api_url": f"https://localhost:{port}/"}}
        bundle = {"AFILSQL_CA_BUNDLE": str(authority.bundle)}
        without = found(tmp_path, account, **bundle)["shop"]
        assert "AFILSQL_CLIENT_CERT" in without["advice"]
        assert served.requests == []
        kinds(tmp_path, account, **bundle, AFILSQL_CLIENT_CERT=str(cert), AFILSQL_CLIENT_KEY=str(key))
        assert len(served.requests) == 1


def test_a_proxys_trouble_is_told_from_the_apis(authority: Authority, tmp_path: Path) -> None:
    login = f"proxy:{quote(PROXY_PASSWORD, safe='')}"
    bundle = {"AFILSQL_CA_BUNDLE": str(authority.bundle)}
    served = Api(authority.context())
    with ExitStack() as servers:
        port = servers.enter_context(listening(served.serve))
        account = {"shop": {**ME, "api_url": f"https://localhost:{port}/"}}
        closed = servers.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))
        proxies = {
            "proxy unreachable": closed.getsockname()[1],
            "proxy wants a login": servers.enter_context(listening(Proxy("other:login").serve)),
            "proxy refuses": servers.enter_context(listening(says(http(403)))),
        }
        for kind, proxy in proxies.items():
            through = f"http://{login}@127.0.0.1:{proxy}"
            assert kinds(tmp_path, account, **bundle, AFILSQL_PROXY=through) == {"shop": kind}
    assert served.requests == []


def test_trouble_of_the_token_endpoint_and_of_the_wsdl_is_told_as_theirs(api: SandboxServer, tmp_path: Path) -> None:
    with listening(says(http(200, b"<html>"))) as page, listening(says(http(500))) as broken:
        accounts = {
            "secret": {**OAUTH, "client_secret": "wrong", "api_url": api.url_of("json"), "token_url": api.token_url},
            "page": {**OAUTH, "api_url": api.url_of("json"), "token_url": f"http://127.0.0.1:{page}/"},
            "wsdl": {**ME, "transport": "soap", "wsdl": f"http://127.0.0.1:{page}/?wsdl"},
            "later": {**ME, "transport": "soap", "wsdl": f"http://127.0.0.1:{broken}/?wsdl"},
        }
        assert kinds(tmp_path, accounts) == {
            "secret": "token: refused",
            "page": "token: not the API",
            "wsdl": "WSDL",
            "later": "WSDL",
        }


def test_missing_settings_are_named_and_exit_as_such(api: SandboxServer, tmp_path: Path) -> None:
    lacking = {"lacks": {**ME, "transport": "basic"}, "wordless": {"user": "ana"}}
    done = run(tmp_path, lacking)
    assert done.returncode == 3
    for told in ("api_url in [accounts.lacks]", "'wordless' has no", "settings"):
        assert told in " ".join(done.stdout.split())
    assert run(tmp_path, lacking | {"shop": {**ME, "password": "x", "api_url": api.url}}).returncode == 1
    assert run(tmp_path, lacking | {"shop": {**ME, "api_url": api.url}}, "--account", "shop").returncode == 0


def test_an_account_that_is_not_set_is_refused(tmp_path: Path) -> None:
    for accounts, options in (({"shop": ME}, ("--account", "other")), ({}, ())):
        done = run(tmp_path, accounts, *options)
        assert (done.returncode, done.stdout) == (3, "")
    assert "AFILSQL_USER" in done.stderr


def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_said(tmp_path: Path) -> None:
    with SandboxServer(accounts=None, latency=60) as server:
        assert kinds(tmp_path, {"shop": {**ME, "api_url": server.url}}, "--timeout", "1") == {"shop": "answer time-out"}


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal_and_tells_what_to_do(api: SandboxServer, tmp_path: Path, columns: int) -> None:
    accounts = {"shop": {**ME, "api_url": api.url}, "old": {**ME, "user": "bob", "api_url": api.url}}
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")}
    environ = {**clean, "AFILSQL_ACCOUNTS": json.dumps(accounts), "COLUMNS": str(columns), "FORCE_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "afilsql", "check"], env=environ, cwd=tmp_path, capture_output=True, timeout=60
    )
    assert done.returncode == 1
    text = "".join(part.partition("m")[2] for part in f"\x1b[0m{done.stdout.decode()}".split("\x1b["))
    assert max(map(len, text.splitlines())) <= columns
    for told in ("4 channels", "credentials", "Sandbox WhatsApp", "old: getchatchannels", "post"):
        assert told in " ".join(text.split())
