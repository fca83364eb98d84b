"""An HTTP API that does wrong what can be done wrong: raw sockets, one thread a connection, loopback only.

A request picks its fault by a marker that opens its message (or is the destination of a get-method):
`[hang~2~7] your order` meets the fault `hang` on its first two tries, and is carried out from the third on; the
last part tells the requests apart. The faults stand in hostile_faults.py. What was carried out is noted, and
told by getmessages and getchats in the shape of the sandbox; nothing is noted twice, nor forgotten.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, unquote

from afilsql.sandbox.state import State

#: Seconds the server sits on a request at most; the clients' time-outs are shorter.
HANG = 3.0

_MARKER = re.compile(r"^\[([\w-]+)~(\d+)~[\w.-]+\]")
_MARKED = re.compile(rb"(?:^|&)(?:message|destination)=(%5B[\w.~-]*%5D)")


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to do wrong, and what a worker is to make of it.

    Attributes:
        act: Does it.
        outcome: How the try ends under on_unknown=hold: sent, retry, failed, uncertain or hold.
        code: What the try is recorded with; None for a success.
        carried: The request is carried out all the same.
        reads: The whole request is read first.
        wait: Seconds the next try is put off at least.
    """

    act: Callable[[Line], object]
    outcome: str
    code: str | None
    carried: bool = False
    reads: bool = True
    wait: float = 0.0


def http(status: int, body: bytes, *headers: str, kind: str = "application/json", length: int | None = None) -> bytes:
    """Return an HTTP answer as bytes; `length` is claimed in place of the real one."""
    size = len(body) if length is None else length
    head = [f"HTTP/1.1 {status} Reason", f"Content-Type: {kind}", f"Content-Length: {size}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def success(rows: object = None) -> bytes:
    """Return the body of a success."""
    return json.dumps({"status": "SUCCESS", "result": {} if rows is None else {"list": rows}}).encode()


class Line:
    """One connection, as a fault sees it.

    Attributes:
        server: Whose it is.
        sock: The connection itself.
        open: False once nothing more is to be served on it.
    """

    def __init__(self, server: HostileServer, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.open = True
        self._data = b""
        self._length = 0

    def serve(self) -> None:
        """Serve requests until the connection ends."""
        with suppress(OSError), self.sock:
            while self.open and self._next():
                fault = self.server.fault_of(self._marker())
                if fault is None:
                    self.say(http(200, self.server.answer(self.rest())))
                else:
                    if fault.reads:
                        parameters = self.rest()
                        if fault.carried:
                            self.server.answer(parameters)
                    fault.act(self)

    def say(self, *pieces: bytes, pause: float = 0.0) -> None:
        """Send bytes, with seconds between the pieces."""
        for number, piece in enumerate(pieces):
            if number:
                self.server.stopping.wait(pause)
            self.sock.sendall(piece)

    def drip(self, first: bytes, drop: bytes, *, every: float = 0.2) -> None:
        """Send a beginning, then a byte or so at a time, beyond any patience."""
        end = time.monotonic() + HANG
        self.sock.sendall(first)
        while time.monotonic() < end and not self.server.stopping.wait(every):
            self.sock.sendall(drop)
        self.close()

    def pour(self, head: bytes, piece: bytes, total: int) -> None:
        """Send a head and a piece over and over until `total` bytes are out or the other side has had enough."""
        self.sock.sendall(head)
        for _ in range(total // len(piece)):
            if self.server.stopping.is_set():
                break
            self.sock.sendall(piece)
        self.close()

    def hang(self, seconds: float = HANG) -> None:
        """Do nothing for so long, then close."""
        self.server.stopping.wait(seconds)
        self.close()

    def close(self) -> None:
        """Close the connection, in good order if nothing is unread."""
        self.open = False
        self.sock.close()

    def reset(self) -> None:
        """Break the connection off."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.close()

    def rest(self) -> dict[str, str]:
        """Read the request to its end and return its form."""
        while len(self._data) < self._length:
            self._data += self._receive()
        form, self._data = self._data[: self._length], self._data[self._length :]
        return dict(parse_qsl(form.decode(), keep_blank_values=True))

    def _next(self) -> bool:
        """Read the next request's head, and of its body no more than comes along; False when there is none."""
        while b"\r\n\r\n" not in self._data:
            piece = self.sock.recv(4096)
            if not piece:
                return False
            self._data += piece
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        self._length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])  # type: ignore[index]
        return True

    def _marker(self) -> str:
        """Read on until the marker is there, or the whole body without one."""
        while not (found := _MARKED.search(self._data)) and len(self._data) < self._length:
            self._data += self._receive()
        return unquote(found[1].decode()) if found else ""

    def _receive(self) -> bytes:
        piece = self.sock.recv(4096 if len(self._data) < 4096 else 1 << 20)
        if not piece:
            raise ConnectionError("the request ended early")
        return piece


class HostileServer:
    """Serves faults at `url`, and watches a second address that nobody has any business with.

    Args:
        faults: The faults by name.

    Attributes:
        url: The API's address.
        elsewhere: Address of the other host, where redirects point.
        carried: Texts of the messages carried out, in order.
        injected: How often each fault was met.
        strays: What arrived elsewhere.
        stopping: Set when everybody should leave.
    """

    def __init__(self, faults: Mapping[str, Fault]) -> None:
        self.carried: list[str] = []
        self.injected: Counter[str] = Counter()
        self.strays: list[bytes] = []
        self.stopping = threading.Event()
        self._faults = faults
        self._tries: Counter[str] = Counter()
        self._state = State(None)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener = _listen(0)
        self._other = _listen(0)
        self._port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/api/http/"
        self.elsewhere = f"http://127.0.0.1:{self._other.getsockname()[1]}/elsewhere"

    def __enter__(self) -> Self:
        self._start(self._accept, self._listener, lambda sock: Line(self, sock).serve())
        self._start(self._accept, self._other, self._watch)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        for listener in (self._listener, self._other):
            _shut(listener)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Have the port closed meanwhile; connections that are open stay so."""
        _shut(self._listener)
        try:
            yield
        finally:
            self._listener = _listen(self._port)
            self._start(self._accept, self._listener, lambda sock: Line(self, sock).serve())

    def fault_of(self, marker: str) -> Fault | None:
        """Return the fault this try meets, None when it is to be carried out."""
        found = _MARKER.match(marker)
        if not found:
            return None
        with self._lock:
            self._tries[marker] += 1
            if self._tries[marker] > int(found[2]):
                return None
            self.injected[found[1]] += 1
        return self._faults[found[1]]

    def answer(self, parameters: Mapping[str, str]) -> bytes:
        """Carry out a call and return the body of its answer."""
        with self._lock:
            code = self._state.refusal(parameters)
            if code is not None:
                return json.dumps({"status": "ERROR", "error": code}).encode()
            rows = self._state.perform(parameters)
            if rows is None:
                self.carried.append(parameters["message"])
        return success(rows)

    def _start(self, run: Callable[..., None], *args: object) -> None:
        threading.Thread(target=run, args=args, daemon=True).start()

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(serve, sock)

    def _watch(self, sock: socket.socket) -> None:
        with suppress(OSError), sock:
            self.strays.append(sock.recv(65536))


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # so that a large request fills it
    listener.bind(("127.0.0.1", port))
    listener.listen(256)
    return listener


def _shut(listener: socket.socket) -> None:
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
