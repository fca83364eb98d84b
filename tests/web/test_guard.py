"""What every request passes: hosts, origins, tokens, headers, roles, proxies, https."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from afilsql.errors import ConfigError
from afilsql.web.actions import ACTIONS
from afilsql.web.app import ROUTES
from afilsql.websettings import WebSettings
from tests.faults.tls import Authority
from tests.patience import PATIENCE
from tests.web.site import PASSWORD, USERS, Client, Page, served, text_of

PUBLIC = {("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out"), ("GET", "/static/{name}")}


def filled(path: str) -> str:
    return path.replace("{id:int}", "1").replace("{action}", "requeue?target=1").replace("{name}", "app.css")


def test_nobody_sees_a_page_without_signing_in(page: Page, client: Client) -> None:
    page.send(message="a secret")
    for method, path, _, role in ROUTES:
        assert (role is None) == ((method, path) in PUBLIC), path
        if role is None:
            continue
        if method == "GET":
            answer = client.get(filled(path))
            assert (answer.status_code, answer.headers["location"][:8]) == (303, "/sign-in"), path
            assert "secret" not in answer.text
            assert client.get(filled(path), headers={"HX-Request": "true"}).status_code == 401
        else:
            assert client.post(filled(path), {"token": client.token(), "target": "1"}).status_code == 401, path


def test_a_reader_sees_everything_and_is_offered_no_action(page: Page, rob: Client) -> None:
    page.send()
    page.finish("failed", error_code="NO_CREDIT")
    for path in ("/", "/items", "/items/1", "/conversation?platform=whatsapp&platformid=100&destination=34600000000"):
        answer = rob.get(path)
        assert answer.status_code == 200 and "/act/" not in answer.text, path


def test_a_reader_may_do_nothing_whatever_they_send(page: Page, rob: Client) -> None:
    id = page.send()
    page.finish("failed", error_code="NO_CREDIT")
    for name, action in ACTIONS.items():
        target = {"item": str(id), "account": "default", "queue": ""}[action.on]
        assert rob.get(f"/act/{name}?target={target}").status_code == 403, name
        answer = rob.post(f"/act/{name}", {"token": rob.token("/"), "target": target})
        assert answer.status_code == 403 and "only operators" in text_of(answer).lower(), name
    overview = page.browser.overview()
    assert page.status(id) == "failed" and not overview.paused and not overview.held
    assert "web_not_allowed" in page.events() and "web_action" not in page.events()


def test_a_form_without_its_token_is_refused(page: Page, ann: Client) -> None:
    of_another_session = Client(page).token()
    for path in "/sign-in", "/sign-out", "/act/pause":
        for token in None, "", "0" * 64, of_another_session:
            form = {"target": "", "name": "ann", "password": PASSWORD} | ({"token": token} if token is not None else {})
            assert ann.post(path, form).status_code == 403, (path, token)
    assert not page.browser.overview().paused and ann.get("/").status_code == 200


ELSEWHERE: tuple[dict[str, str | None], ...] = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": None},
    {"Origin": None, "Referer": "https://evil.example/"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://127.0.0.1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)


def test_a_form_from_elsewhere_is_refused_even_with_its_token(page: Page, ann: Client) -> None:
    form = {"token": ann.token("/act/pause?target="), "target": ""}
    for headers in ELSEWHERE:
        assert ann.post("/act/pause", form, headers=headers).status_code == 403, headers
    assert not page.browser.overview().paused


def test_a_form_from_here_is_taken_by_its_referer_where_a_browser_sends_no_origin(page: Page, ann: Client) -> None:
    form = {"token": ann.token("/act/pause?target="), "target": ""}
    headers = {"Origin": None, "Referer": page.url + "/act/pause"}
    assert ann.post("/act/pause", form, headers=headers).status_code == 303
    assert page.browser.overview().paused


def test_a_name_that_is_not_ours_is_refused(ann: Client) -> None:
    for host in "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]":
        answer = ann.get("/", headers={"Host": host})
        assert answer.status_code == 400 and "queue" not in answer.text, host


def test_a_name_of_the_settings_is_taken(folder: Path) -> None:
    with served(folder, allowed_hosts=["afilsql.example.com"]) as page:
        for host in ("AFILSQL.example.com", "afilsql.example.com:8765", "localhost:8765", "[::1]:8765"):
            assert Client(page).get("/sign-in", headers={"Host": host}).status_code == 200


def test_every_answer_has_the_headers_that_protect_it(page: Page, ann: Client) -> None:
    page.send()
    paths = [*(filled(p) for _, p, _, _ in ROUTES), "/nothing", "/items/999", "/items/x"]
    for path, answer in [(p, a) for p in paths for a in (ann.get(p), ann.post(p, {}))]:
        policy = dict(p.strip().split(" ", 1) for p in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'", path
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'" and policy["form-action"] == "'self'", path
        assert "unsafe" not in str(policy), path
        assert answer.headers["x-frame-options"] == "DENY", path
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["referrer-policy"] == "same-origin", path
        assert "server" not in answer.headers, path
        if not (path.startswith("/static/") and answer.status_code == 200):
            assert answer.headers["cache-control"] == "no-store", path
            inline = re.search(r"<script(?! src=)|<style|\son\w+=|\sstyle=|javascript:", answer.text)
            assert not inline, path


def test_the_cookie_is_for_this_page_alone(client: Client) -> None:
    cookie = client.get("/sign-in").headers["set-cookie"]
    assert cookie.startswith("afilsql=") and "Secure" not in cookie
    for word in ("HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in cookie
    assert "Domain" not in cookie


def test_over_https_the_cookie_is_secure_and_browsers_are_told_to_stay_there(folder: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    cert, key = authority.issue("localhost")
    with served(folder, host="localhost", cert=cert, key=key) as page:
        assert page.url.startswith("https://localhost:")
        client = Client(page)
        client.http.verify = str(authority.bundle)
        assert client.sign_in().status_code == 303
        answer = client.get("/")
        assert answer.status_code == 200 and answer.headers["strict-transport-security"]
        cookie = Client(page).http.get(page.url + "/sign-in", verify=str(authority.bundle)).headers["set-cookie"]
        assert cookie.startswith("__Host-afilsql=") and "; Secure" in cookie


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "afilsql.example.com"])
def test_an_address_that_others_reach_needs_https(host: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reached from other machines"):
        WebSettings.model_validate({"host": host})
    WebSettings.model_validate({"host": host, "behind_proxy": True})
    (tmp_path / "x.pem").touch()
    WebSettings.model_validate({"host": host, "cert": tmp_path / "x.pem", "key": tmp_path / "x.pem"})


def test_a_certificate_that_is_none_is_refused_at_the_start(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("no certificate")
    with (
        pytest.raises(ConfigError, match=r"web\.cert and web\.key"),
        served(folder, cert=tmp_path / "x.pem", key=tmp_path / "x.pem"),
    ):
        pass


def test_a_port_that_is_taken_and_a_page_for_nobody_are_refused_at_the_start(folder: Path) -> None:
    with served(folder) as page:
        port = int(page.url.rpartition(":")[2])
        with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1"), served(folder, port=port):
            pass
    with pytest.raises(ConfigError, match="nobody could sign in"), served(folder, users={}):
        pass


PROXY = {"behind_proxy": True, "proxy_from": ["127.0.0.1"], "host": "127.0.0.1"}
HTTPS = {"X-Forwarded-Proto": "https"}


def test_behind_a_proxy_the_client_is_the_last_one_that_is_no_proxy(folder: Path) -> None:
    with served(folder, **PROXY) as page:
        client = Client(page, **HTTPS, **{"X-Forwarded-For": "6.6.6.6, 203.0.113.7, 127.0.0.1"})
        origin = {"Origin": page.url.replace("http:", "https:")}
        answer = client.get("/sign-in")
        assert "; Secure" in answer.headers["set-cookie"] and answer.headers["set-cookie"].startswith("__Host-")
        cookie = answer.headers["set-cookie"].partition(";")[0]
        token = re.search(r'name="token" value="(\w+)"', answer.text)
        assert token
        form = {"token": token[1], "name": "ann", "password": PASSWORD}
        assert client.post("/sign-in", form, headers={**origin, "Cookie": cookie}).status_code == 303
        assert page.lines[-1]["address"] == "203.0.113.7"


def test_behind_a_proxy_nothing_is_answered_without_https_or_past_it(folder: Path) -> None:
    with served(folder, **PROXY) as page:
        assert Client(page).get("/sign-in").status_code == 403
        assert Client(page, **{"X-Forwarded-Proto": "http"}).get("/sign-in").status_code == 403
        assert Client(page, **HTTPS).get("/sign-in").status_code == 200
    with served(folder, **PROXY | {"proxy_from": ["10.0.0.1"]}) as page:
        assert Client(page, **HTTPS).get("/sign-in").status_code == 403


def test_what_a_proxy_would_say_is_not_believed_of_anybody_else(page: Page) -> None:
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Remote-User": "ann"}
    client = Client(page, **headers)
    answer = client.get("/")
    assert answer.status_code == 303 and "Secure" not in answer.headers["set-cookie"]
    client.sign_in("ann", "wrong")
    assert page.lines[-1]["address"] == "127.0.0.1"


def test_a_trusted_proxy_says_who_it_is_and_the_settings_what_they_may(folder: Path) -> None:
    roles = {"zoe": "operator", "*": "reader"}
    settings = PROXY | {"users": {}, "proxy_user_header": "X-Remote-User", "proxy_roles": roles}
    with served(folder, **settings) as page:
        for name, role in ("zoe", "operator"), ("max", "reader"):
            answer = Client(page, **HTTPS, **{"X-Remote-User": name}).get("/")
            assert answer.status_code == 200 and f"{name} {role}" in text_of(answer) and "Sign out" not in answer.text
        assert Client(page, **HTTPS, **{"X-Remote-User": "max"}).get("/act/pause?target=").status_code == 403
        assert Client(page, **HTTPS, **{"X-Remote-User": ""}).get("/").status_code == 303
        assert Client(page, **HTTPS).get("/").status_code == 303
        page.settings["proxy_roles"] = {"zoe": "operator"}
        page.clock.passed += 6
        assert Client(page, **HTTPS, **{"X-Remote-User": "max"}).get("/").status_code == 303


def test_the_header_of_a_proxy_needs_its_address(folder: Path) -> None:
    for settings in {}, {"behind_proxy": True}, {"proxy_from": ["10.0.0.1"]}:
        with pytest.raises(ValueError, match="proxy_user_header needs"):
            WebSettings.model_validate({"proxy_user_header": "X-User", **settings})


def test_a_form_that_is_too_large_or_none_is_refused(page: Page, ann: Client) -> None:
    token = ann.token("/act/pause?target=")
    assert ann.post("/act/pause", {"token": token, "target": "", "reason": "x" * 70_000}).status_code == 413
    assert ann.post("/act/pause", {"token": token, "target": "", **{f"f{n}": "" for n in range(30)}}).status_code == 400
    assert ann.post("/act/pause", f"token={token}&target=&target=1", headers=FORM).status_code == 400
    assert ann.post("/act/pause", f"token={token}&target=".encode() + b"\xff", headers=FORM).status_code == 400
    assert ann.post("/act/pause", json={"token": token, "target": ""}).status_code == 415
    assert ann.post("/act/pause", files={"token": (None, token)}).status_code == 415
    assert not page.browser.overview().paused


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_other_methods_do_nothing(page: Page, ann: Client) -> None:
    for method in "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST":
        assert ann.http.request(method, page.url + "/items", timeout=PATIENCE).status_code in (403, 405), method


def test_only_the_files_of_the_page_are_given_out(client: Client) -> None:
    away = "../app.py", "..%2f..%2fconfig.py", "LICENSES.txt", "", "app.css/", "%2e%2e/app.py", "..\\app.py"
    for name in away:
        assert client.get(f"/static/{name}").status_code in (404, 307), name


HOSTILE = {
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "no host": b"GET / HTTP/1.0\r\n\r\n",
    "large head": b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"x" * 70_000 + b"\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "not http": b"\x16\x03\x01\x02\x00",
}


def test_requests_that_no_browser_sends_are_refused_and_the_page_lives_on(page: Page) -> None:
    for kind, raw in HOSTILE.items():
        with socket.create_connection(("127.0.0.1", int(page.url.rpartition(":")[2])), timeout=PATIENCE) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    answer += part
        assert not answer or int(answer.split(b" ", 2)[1]) in (400, 403, 431), kind
        assert requests.get(page.url + "/sign-in", timeout=PATIENCE).status_code == 200, kind


def test_no_secret_shows_in_the_settings(tmp_path: Path) -> None:
    settings = WebSettings.model_validate({"users": USERS, "secret": "keep-this-to-yourself-" * 2})
    assert "keep-this" not in repr(settings) + settings.model_dump_json()
    assert "argon2id" not in repr(settings) + settings.model_dump_json()
