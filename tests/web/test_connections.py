"""Connections that only take up room: cut, so that the process keeps its file descriptors and others are answered."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

from afilsql.web.connections import MOST
from tests.web.site import Client, Page


def connected(page: Page) -> socket.socket:
    at = urlsplit(page.url)
    return socket.create_connection((str(at.hostname), int(at.port or 0)), timeout=30)


def test_connections_beyond_the_most_are_cut_and_room_is_there_again_once_others_end(page: Page) -> None:
    with ExitStack() as stack:
        kept = [stack.enter_context(connected(page)) for _ in range(MOST)]
        beyond = [stack.enter_context(connected(page)) for _ in range(5)]
        for one in beyond:
            assert not received(one), "it was cut"
        kept[0].sendall(b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 503 " in received(kept[0]), "the others are told that there are too many"
    assert Client(page).get("/sign-in").status_code == 200


def test_a_connection_that_says_nothing_is_cut_and_one_that_asked_is_not(page: Page) -> None:
    with connected(page) as silent, connected(page) as half, connected(page) as asking:
        half.sendall(b"GET /sign-in HTTP/1.1\r\nHost: ")
        asking.sendall(b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert received(asking, b"</html>").startswith(b"HTTP/1.1 200 ")
        assert not received(silent)
        assert not received(half)
        asking.sendall(b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert received(asking, b"</html>").startswith(b"HTTP/1.1 200 ")


def received(one: socket.socket, until: bytes = b"\r\n") -> bytes:
    """What comes next, up to and with a text; nothing once it was cut."""
    found = b""
    try:
        while until not in found and (piece := one.recv(65_536)):
            found += piece
    except ConnectionResetError:
        return b""
    return found
