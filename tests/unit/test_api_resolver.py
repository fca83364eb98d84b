"""Looking names up: one question a name at a time, waited for no longer than wanted."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from afilsql.api.resolver import Addresses, Resolver

FOUND: Addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))]


class NameServer:
    """Answers when told, and counts the questions."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = threading.Event()

    def __call__(self, host: str, *_: object) -> Addresses:
        self.asked.append(host)
        self.answers.wait(30)
        if host == "unknown":
            raise socket.gaierror(-2, "Name or service not known")
        return FOUND


def test_many_who_want_one_name_ask_once_and_all_get_the_answer() -> None:
    names = NameServer()
    resolve = Resolver(names)
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(resolve, "api", 443, 30.0) for _ in range(16)]
        with pytest.raises(TimeoutError):
            resolve("api", 443, 0.05)
        names.answers.set()
        assert [future.result() for future in waiting] == [FOUND] * 16
    assert names.asked == ["api"]


def test_a_name_server_that_does_not_answer_is_waited_for_as_long_as_said_and_asked_once() -> None:
    names = NameServer()
    resolve = Resolver(names)
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            resolve("api", 443, 0.05)
    assert time.monotonic() - began < 20
    names.answers.set()
    assert names.asked == ["api"]


def test_an_answer_is_not_kept_and_a_failure_is_told_to_each_and_asked_anew() -> None:
    names = NameServer()
    names.answers.set()
    resolve = Resolver(names)
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            resolve("unknown", 443, 5.0)
        assert resolve("api", 443, None) == FOUND
    assert names.asked == ["unknown", "api"] * 2
