"""The client against TLS servers and proxies on real sockets: what it accepts, and that else nothing left."""

from __future__ import annotations

import datetime
import os
import socket
import ssl
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization

from afilsql.api.client import AfilnetClient
from afilsql.api.sessions import new_session
from afilsql.config import load_settings
from afilsql.errors import ApiError, ConfigError, NotSent
from tests.faults.tls import Api, Authority, Proxy, listening
from tests.patience import PATIENCE

PASSWORD = "s3cret-Word"
LOGIN = "pro xy:Pr0xy-w@rd/:"
PROXY_LOGIN = "{}:{}".format(*(quote(part, safe="") for part in LOGIN.split(":", 1)))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


@contextmanager
def api(context: ssl.SSLContext | None) -> Iterator[tuple[Api, str]]:
    served = Api(context)
    with listening(served.serve) as port:
        yield served, f"https://localhost:{port}/api/http/"


def call(url: str, bundle: Path | None, **transport: object) -> None:
    session = new_session(4, **({"proxy": "none"} | transport))  # type: ignore[arg-type]
    verify = str(bundle) if bundle else True
    with session, AfilnetClient("ana", PASSWORD, url=url, verify=verify, session=session, read_timeout=5) as client:
        client.call("sendmessage", MESSAGE)


MESSAGE = {"platform": "whatsapp", "platformid": "100", "destination": "34600000000", "message": "Hi"}


def refused(url: str, bundle: Path | None, **transport: object) -> NotSent:
    """The error of a call that must not have left; nothing in it, or behind it, is a password."""
    with pytest.raises(ApiError) as caught:
        call(url, bundle, **transport)
    assert isinstance(caught.value, NotSent), repr(caught.value)
    text = "".join(traceback.TracebackException.from_exception(caught.value).format())
    for secret in (PASSWORD, *LOGIN.split(":", 1), PROXY_LOGIN):
        assert secret not in text
    return caught.value


def test_a_server_that_the_bundle_vouches_for_is_called_by_tls_1_2_or_later(authority: Authority) -> None:
    with api(authority.context()) as (served, url):
        call(url, authority.bundle)
    assert len(served.requests) == 1
    assert served.versions[0] in ("TLSv1.2", "TLSv1.3")


def test_a_server_that_nobody_vouches_for_gets_nothing(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with api(authority.context()) as (served, url):
        for bundle in (None, other.bundle):
            error = refused(url, bundle)
            assert (error.code, "certificate" in str(error)) == ("TLS", True)
    assert served.requests == []


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    with api(authority.context(valid_until=yesterday)) as (served, url):
        error = refused(url, authority.bundle)
    assert (error.code, "expired" in str(error), served.requests) == ("TLS", True, [])


def test_a_certificate_for_another_name_is_refused(authority: Authority) -> None:
    with api(authority.context("other.example.com")) as (served, url):
        error = refused(url, authority.bundle)
    assert (error.code, served.requests) == ("TLS", [])
    assert "localhost" in str(error)


def test_a_server_with_nothing_newer_than_tls_1_1_is_refused(authority: Authority) -> None:
    context = authority.context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with api(context) as (served, url):
        error = refused(url, authority.bundle)
    assert (error.code, served.requests) == ("TLS", [])


def test_plain_http_on_the_port_gets_nothing(authority: Authority) -> None:
    came: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        came.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with listening(serve) as port:
        error = refused(f"https://localhost:{port}/api/http/", authority.bundle)
    assert error.code == "TLS"
    assert came[0][0] == 0x16, "no more than the first record of a handshake"
    assert PASSWORD.encode() not in b"".join(came)


def test_a_client_certificate_is_shown_where_it_is_wanted(authority: Authority) -> None:
    context = authority.context()
    context.verify_mode = ssl.CERT_REQUIRED
    cert, key = authority.issue("worker.example.com")
    both = cert.with_name("both.pem")
    both.touch(0o600)
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    with api(context) as (served, url):
        call(url, authority.bundle, client_cert=cert, client_key=key)
        call(url, authority.bundle, client_cert=both)
    assert len(served.requests) == 2
    assert "worker.example.com" in str(served.peers)


def test_without_the_client_certificate_that_is_wanted_nothing_is_carried_out(authority: Authority) -> None:
    context = authority.context()
    context.verify_mode = ssl.CERT_REQUIRED
    with api(context) as (served, url), pytest.raises(ApiError):
        call(url, authority.bundle)
    assert served.requests == []


def test_a_client_certificate_that_cannot_be_used_is_refused_before_any_call(authority: Authority) -> None:
    cert, key = authority.issue("one.example.com")
    _, other_key = authority.issue("two.example.com")
    locked = key.with_name("locked.key")
    locked.touch(0o600)
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    kind = serialization.BestAvailableEncryption(b"word")
    locked.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind))
    for wrong in (other_key, locked, cert):
        wrong.chmod(0o600)
        with pytest.raises(ConfigError, match="belong together"):
            new_session(1, client_cert=cert, client_key=wrong)
    key.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        new_session(1, client_cert=cert, client_key=key)
    with pytest.raises(ConfigError, match="AFILSQL_CLIENT_CERT"):
        new_session(1, client_key=key)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_proxy_is_gone_through_with_its_login(authority: Authority, secure: bool) -> None:
    proxy = Proxy(LOGIN, authority.context() if secure else None)
    with api(authority.context()) as (served, url), listening(proxy.serve) as port:
        scheme = "https" if secure else "http"
        call(url, authority.bundle, proxy=f"{scheme}://{PROXY_LOGIN}@localhost:{port}")
    assert len(served.requests) == len(proxy.connected) == 1
    assert proxy.connected[0] == url.split("/")[2]


def test_a_proxy_without_a_login_is_gone_through(authority: Authority) -> None:
    proxy = Proxy()
    with api(authority.context()) as (served, url), listening(proxy.serve) as port:
        call(url, authority.bundle, proxy=f"http://127.0.0.1:{port}")
    assert len(served.requests) == len(proxy.connected) == 1


def test_a_proxy_that_refuses_the_login_is_named_without_it(authority: Authority) -> None:
    proxy = Proxy("other:login")
    with api(authority.context()) as (served, url), listening(proxy.serve) as port:
        error = refused(url, authority.bundle, proxy=f"http://{PROXY_LOGIN}@127.0.0.1:{port}")
    assert error.code == "PROXY_407"
    assert f"through the proxy 127.0.0.1:{port}, which wants another login" in str(error)
    assert served.requests == []


def test_a_proxy_that_is_not_there_is_named_without_its_login(authority: Authority) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = refused("https://localhost:9/", authority.bundle, proxy=f"http://{PROXY_LOGIN}@127.0.0.1:{port}")
    assert error.code == "CONNECT"
    assert f"through the proxy 127.0.0.1:{port}" in str(error)


def test_the_environments_proxy_is_used_unless_the_setting_says_otherwise(authority: Authority) -> None:
    proxy = Proxy()
    script = (
        "import sys; from pathlib import Path; from tests.faults.test_tls_and_proxies import call; "
        "call(sys.argv[1], Path(sys.argv[2]), proxy=None if sys.argv[3] == 'environment' else sys.argv[3])"
    )
    with api(authority.context()) as (served, url), listening(proxy.serve) as port:
        environ = {**os.environ, "HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        environ["PYTHONPATH"] = str(Path(__file__).parents[2])
        for setting, through in (("environment", 1), ("none", 1)):
            command = [sys.executable, "-c", script, url, str(authority.bundle), setting]
            done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=PATIENCE)
            assert done.returncode == 0, done.stderr
            assert len(proxy.connected) == through
    assert len(served.requests) == 2


@pytest.mark.parametrize("proxy", ["localhost:80", "socks5://h:1", "http://h", "http://h:x", "http://:80"])
def test_a_proxy_that_cannot_be_one_is_refused(proxy: str) -> None:
    with pytest.raises(ConfigError, match="AFILSQL_PROXY"):
        load_settings(environ={"AFILSQL_PROXY": proxy})


def test_http_to_another_machine_is_refused_unless_it_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"unencrypted to api\.example\.com"):
        AfilnetClient("ana", PASSWORD, url="http://api.example.com/")
    AfilnetClient("ana", PASSWORD, url="http://api.example.com/", allow_http=True)
    for host in ("127.0.0.1", "localhost", "[::1]"):
        AfilnetClient("ana", PASSWORD, url=f"http://{host}:8088/")
