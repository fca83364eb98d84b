"""Who gets in, for how long, and how often one may try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from afilsql.errors import ConfigError
from afilsql.web.sessions import Sessions
from afilsql.web.throttle import BY_ADDRESS, BY_USER, SECONDS, Throttle
from afilsql.web.users import Users
from afilsql.websettings import WebSettings
from tests.web.site import HASH, PASSWORD, USERS, Client, Clock, Page, served, text_of


def is_in(client: Client) -> bool:
    answer = client.get("/")
    assert answer.status_code in (200, 303)
    return answer.status_code == 200


def test_name_and_password_let_in_and_signing_out_ends_it(client: Client) -> None:
    assert not is_in(client)
    answer = client.sign_in()
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert is_in(client)
    assert client.post("/sign-out", {"token": client.token("/")}).headers["location"] == "/sign-in"
    assert not is_in(client)


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong"), ("nobody", PASSWORD), ("", ""), ("ann", ""), ("ANN", PASSWORD), ("ann", PASSWORD + "x" * 2000)],
)
def test_a_wrong_name_and_a_wrong_password_are_told_in_the_same_words(client: Client, name: str, password: str) -> None:
    answer = client.sign_in(name, password)
    assert answer.status_code == 403
    assert "Name and password do not go together." in text_of(answer)
    assert not is_in(client)


def test_neither_the_page_nor_the_log_repeats_a_password(page: Page, client: Client) -> None:
    answer = client.sign_in("ann", "a-wrong-password")
    client.sign_in("typed-into-the-name", "x")
    assert "a-wrong-password" not in answer.text
    assert "a-wrong-password" not in str(page.lines) and "typed-into-the-name" not in str(page.lines)
    assert page.events().count("web_sign_in_failed") == 2


def test_signing_in_and_out_is_logged_with_name_and_address(page: Page, ann: Client) -> None:
    ann.post("/sign-out", {"token": ann.token("/")})
    told = [(x["event"], x.get("user"), x.get("address")) for x in page.lines if x["event"] != "web_started"]
    assert told == [("web_sign_in", "ann", "127.0.0.1"), ("web_sign_out", "ann", "127.0.0.1")]


def test_a_copy_of_the_cookie_is_worth_nothing_after_signing_out(page: Page, ann: Client) -> None:
    thief = Client(page)
    thief.http.cookies.update(ann.http.cookies)
    assert is_in(thief)
    ann.post("/sign-out", {"token": ann.token("/")})
    assert not is_in(thief)


def test_signing_in_begins_another_session_than_the_one_before(page: Page, client: Client) -> None:
    client.get("/sign-in")
    before = client.http.cookies["afilsql"]
    client.sign_in()
    planted = Client(page)
    planted.http.cookies.set("afilsql", before, domain="127.0.0.1")
    assert client.http.cookies["afilsql"] != before and not is_in(planted)


def test_a_session_ends_when_it_is_idle(page: Page, ann: Client) -> None:
    for _ in range(4):
        page.clock.passed += 20 * 60
        assert is_in(ann)
    page.clock.passed += 31 * 60
    assert not is_in(ann)


def test_refreshing_by_itself_keeps_no_session_alive(page: Page, ann: Client) -> None:
    for _ in range(3):
        page.clock.passed += 9 * 60
        assert ann.get("/live", headers={"HX-Request": "true"}).status_code == 200
    page.clock.passed += 9 * 60
    answer = ann.get("/live", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")


def test_a_session_ends_after_its_longest_time_however_busy(page: Page, ann: Client) -> None:
    for _ in range(12 * 4 - 1):
        page.clock.passed += 15 * 60
        assert is_in(ann)
    page.clock.passed += 16 * 60
    assert not is_in(ann)


OTHER = {
    "password_hash": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("other"),
    "role": "operator",
}


@pytest.mark.parametrize(
    "change",
    [
        OTHER,
        {"password_hash": HASH, "role": "reader"},
        None,
    ],
    ids=["hash", "role", "gone"],
)
def test_a_session_ends_when_the_user_changes(page: Page, ann: Client, change: dict[str, str] | None) -> None:
    page.settings["users"] = {"rob": USERS["rob"], **({"ann": change} if change else {})}
    page.clock.passed += 6
    assert not is_in(ann)


def test_settings_that_cannot_be_read_leave_everybody_as_they_were() -> None:
    clock, readings = Clock(), [WebSettings.model_validate({"users": USERS})]

    def load() -> WebSettings:
        if not readings:
            raise ConfigError("half written")
        return readings.pop()

    users = Users(load, monotonic=clock.ticks)
    ann = users.verified("ann", PASSWORD)
    assert ann is not None
    clock.passed += 60
    assert users.get("ann", ann.fingerprint) == ann and not readings


@pytest.mark.parametrize("left", [{"ann": OTHER}, {}], ids=["another password", "no such user"])
def test_a_user_changed_while_the_password_is_checked_gets_no_session(left: dict[str, Any]) -> None:
    clock, given = Clock(), [dict(USERS)]

    class Slow:
        def verify(self, hash: str, password: str) -> bool:
            given[0] = left
            clock.passed += 60
            return True

    users = Users(lambda: WebSettings.model_validate({"users": given[0]}), verifier=Slow(), monotonic=clock.ticks)
    ann = users.verified("ann", PASSWORD)
    assert ann is not None
    assert users.get("ann", ann.fingerprint) is None


def test_no_number_of_strangers_who_sign_out_brings_a_session_back_that_was_signed_out() -> None:
    sessions = Sessions("s" * 40, idle_seconds=600, total_seconds=600)
    ann = sessions.begin("ann", "x")
    cookie = sessions.write(ann)
    assert sessions.read(cookie) == ann
    sessions.end(ann)
    for _ in range(10_001):
        sessions.end(sessions.begin())
    assert sessions.read(cookie) is None


def test_a_cookie_that_is_not_ours_is_no_session(page: Page, ann: Client) -> None:
    good = ann.http.cookies["afilsql"]
    body, _, signature = good.rpartition(".")
    other = Sessions("another secret, just as long as ours", idle_seconds=60, total_seconds=60, clock=page.clock.now)
    forged = other.write(other.begin("ann", "x"))
    for cookie in (
        body,
        f"{body}.{signature[:-2]}AA",
        "x" + good,
        "",
        "a.b",
        forged,
        "é",
        good[:10] + "\\" + good[11:],
    ):
        client = Client(page, Cookie=f"afilsql={cookie}".encode().decode("latin-1"))
        assert client.get("/").status_code == 303, cookie


def test_the_sessions_of_one_start_do_not_open_the_next_unless_the_secret_is_kept(folder: Path) -> None:
    for settings, stays in ({}, False), ({"secret": "s" * 40}, True):
        with served(folder, **settings) as first:
            client = Client(first)
            client.sign_in()
        with served(folder, **settings) as second:
            client.page = second
            assert is_in(client) == stays


def test_after_signing_in_one_is_where_one_wanted_to_go_and_nowhere_else(page: Page, client: Client) -> None:
    assert client.get("/items?text=a%26b").headers["location"] == "/sign-in?next=%2Fitems%3Ftext%3Da%2526b"
    assert client.sign_in(next="/items?text=a%26b").headers["location"] == "/items?text=a%26b"
    for away in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/a\nb: c"):
        assert Client(page).sign_in(next=away).headers["location"] == "/", away
        assert "evil" not in client.get("/sign-in", params={"next": away}).text


def test_too_many_tries_from_one_address_have_to_wait(page: Page, client: Client) -> None:
    for n in range(BY_ADDRESS):
        assert client.sign_in(f"user{n}", "wrong").status_code == 403
    answer = client.sign_in()
    assert answer.status_code == 429 and 0 < int(answer.headers["retry-after"]) <= SECONDS
    assert "Too many tries" in text_of(answer) and "web_sign_in_limited" in page.events()
    page.clock.passed += SECONDS
    assert client.sign_in().status_code == 303


def test_too_many_tries_for_one_user_from_everywhere_have_to_wait() -> None:
    throttle = Throttle(lambda: 0.0)
    for n in range(BY_USER):
        assert throttle.attempt(f"10.0.{n}.1", "ann") == 0
    assert throttle.attempt("10.9.9.9", "ann") == SECONDS
    assert throttle.attempt("10.9.9.9", "rob") == 0


def test_addresses_of_one_machine_with_ipv6_count_together() -> None:
    throttle = Throttle(lambda: 0.0)
    assert [throttle.attempt(f"2001:db8::{n}", f"u{n}") for n in range(BY_ADDRESS)] == [0] * BY_ADDRESS
    assert throttle.attempt("2001:db8::ffff", "x") > 0
    assert throttle.attempt("2001:db8:0:1::1", "x") == 0


def test_who_succeeds_is_not_counted(page: Page) -> None:
    for _ in range(BY_ADDRESS + 2):
        assert Client(page).sign_in().status_code == 303


def test_what_the_throttle_remembers_has_an_end() -> None:
    throttle = Throttle(lambda: 0.0)
    for n in range(BY_ADDRESS):
        throttle.attempt("203.0.113.7", f"first{n}")
    assert throttle.attempt("203.0.113.7", "x") > 0
    for n in range(10_000):
        throttle.attempt(f"10.0.{n >> 8}.{n & 255}", f"user{n}")
    assert throttle.attempt("203.0.113.7", "x") == 0, "those not heard of longest are forgotten first"


class CountingVerifier:
    """Compares as argon2 does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def verify(self, hash: str, password: str) -> bool:
        self.asked.append(hash)
        if hash != HASH or password != PASSWORD:
            raise VerifyMismatchError
        return True


def test_an_unknown_user_takes_the_same_work_as_a_known_one() -> None:
    verifier = CountingVerifier()
    users = Users(lambda: WebSettings.model_validate({"users": USERS}), verifier=verifier)
    assert users.verified("nobody", PASSWORD) is None
    assert users.verified("ann", "wrong") is None
    assert users.verified("ann", PASSWORD) is not None
    nobody, ann, _ = verifier.asked
    assert nobody != ann and nobody.split("$")[1:4] == ann.split("$")[1:4], "the same parameters, so the same work"


def test_a_password_is_kept_as_argon2id_that_no_two_share() -> None:
    from afilsql.web.users import hashed

    one, two = hashed("x" * 12), hashed("x" * 12)
    assert one != two and one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    WebSettings.model_validate({"users": {"a": {"password_hash": one}}})
