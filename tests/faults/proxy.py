"""A TCP proxy on the loopback that breaks connections where a test wants it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from tests.patience import PATIENCE

#: Which way bytes go: the client's request, the server's answer.
Way = Literal["request", "answer"]


@dataclass
class Plan:
    """What befalls one connection, either way of it once `after` bytes have gone that way.

    Attributes:
        way: Whose bytes are counted.
        after: How many pass; None breaks nothing.
        kind: "cut" resets both sides; "hole" keeps both open and lets nothing through any more, either way.
        delay: Seconds each piece waits before it goes on.
    """

    way: Way = "request"
    after: int | None = None
    kind: Literal["cut", "hole"] = "cut"
    delay: float = 0.0


class Proxy:
    """Hands connections on to a server on this machine; a context manager that listens while it is entered.

    Args:
        port: The server's.
        plan: Asked for the plan of each connection, by its number from 0.

    Attributes:
        port: Where to connect to.
        broken: Plans that came to pass.
        passed: The most bytes that any connection passed, by way.
    """

    def __init__(self, port: int, plan: Callable[[int], Plan] = lambda _number: Plan()) -> None:
        self.plan = plan
        self.broken: list[Plan] = []
        self.passed: dict[Way, int] = {"request": 0, "answer": 0}
        self.connections = 0
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._hole = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, name="proxy", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    def swallow(self, on: bool) -> None:
        """Turn into a black hole, for connections open and new: what is sent vanishes, nothing is answered.

        What vanished does not come back: a connection that lost something stays silent.
        """
        if on:
            self._hole.set()
        else:
            self._hole.clear()

    def cut_all(self) -> None:
        """Reset every open connection."""
        with self._lock:
            sockets = list(self._open)
        for one in sockets:
            _reset(one)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            threading.Thread(target=self._serve, args=(client, self.plan(number)), daemon=True).start()

    def _serve(self, client: socket.socket, plan: Plan) -> None:
        try:
            server = socket.create_connection(self._server, timeout=PATIENCE)
        except OSError:
            _reset(client)
            return
        for one in (client, server):
            one.settimeout(None)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (client, server)
        gone = threading.Event()  # this connection lost something: nothing more goes through it
        with self._lock:
            self._open.update(pair)
        back = threading.Thread(target=self._pump, args=(server, client, "answer", plan, gone, pair), daemon=True)
        back.start()
        self._pump(client, server, "request", plan, gone, pair)
        back.join()
        with self._lock:
            self._open.difference_update(pair)
        for one in pair:
            one.close()

    def _pump(
        self,
        source: socket.socket,
        target: socket.socket,
        way: Way,
        plan: Plan,
        gone: threading.Event,
        pair: tuple[socket.socket, socket.socket],
    ) -> None:
        left = plan.after if plan.way == way else None
        passed = 0
        try:
            # A cut after 0 bytes comes before the first one, not with it: nothing is waited for.
            while not (left == 0 and plan.kind == "cut") and (piece := source.recv(65536)):
                if self._hole.is_set():
                    gone.set()
                if plan.delay:
                    time.sleep(plan.delay)
                if left is not None:
                    piece, left = piece[:left], left - len(piece[:left])
                if not gone.is_set():
                    target.sendall(piece)
                passed += len(piece)
                with self._lock:
                    self.passed[way] = max(self.passed[way], passed)
                if left == 0 and plan.kind == "hole" and not gone.is_set():
                    gone.set()
                    self.broken.append(plan)
            if left == 0 and plan.kind == "cut":
                self.broken.append(plan)
                for one in pair:
                    _reset(one)
            elif not gone.is_set():
                with suppress(OSError):
                    target.shutdown(socket.SHUT_WR)
        except OSError:
            for one in pair:
                _reset(one)


def _reset(one: socket.socket) -> None:
    """End a connection at once, with a reset where bytes were still under way."""
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
