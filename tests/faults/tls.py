"""Servers for tests of TLS and proxies: certificates of an authority of our own, real sockets, loopback only."""

from __future__ import annotations

import base64
import datetime
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trustme

from tests.patience import PATIENCE

OK = b'{"status":"SUCCESS","result":{}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(OK), OK)


class Authority:
    """A certificate authority, its certificate and those it issues as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        folder.mkdir(mode=0o700)
        self.bundle = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.bundle))

    def issue(self, name: str, *, valid_until: datetime.datetime | None = None) -> tuple[Path, Path]:
        """Issue a certificate for a host name; return the files of it and of its key."""
        issued = self._ca.issue_cert(name, not_after=valid_until)
        cert, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.touch(0o600)
        key.write_bytes(issued.private_key_pem.bytes())
        return cert, key

    def context(self, name: str = "localhost", *, valid_until: datetime.datetime | None = None) -> ssl.SSLContext:
        """A server's context with a new certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, valid_until=valid_until))
        context.load_verify_locations(self.bundle)
        return context


@contextmanager
def listening(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """Serve each connection in a thread; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            serve(connection)

    def loop() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE)


def read_request(connection: socket.socket) -> bytes:
    """Read one request with its body; what came, where the other side stops early."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


class Api:
    """An API that answers every call; with a context, over TLS."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self.requests: list[bytes] = []
        self.peers: list[object] = []
        self.versions: list[str | None] = []

    def serve(self, connection: socket.socket) -> None:
        if self._context is not None:
            with self._context.wrap_socket(connection, server_side=True) as secure:
                self.versions.append(secure.version())
                self.peers.append(secure.getpeercert())
                self._answer(secure)
        else:
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        request = read_request(connection)
        if request:
            self.requests.append(request)
            connection.sendall(ANSWER)


class Proxy:
    """A proxy for CONNECT, with or without a login ("user:password"); with a context, itself reached by TLS."""

    def __init__(self, login: str | None = None, context: ssl.SSLContext | None = None) -> None:
        self._wanted = login and "Basic " + base64.b64encode(login.encode()).decode()
        self._context = context
        self.connected: list[str] = []

    def serve(self, connection: socket.socket) -> None:
        if self._context is not None:
            with self._context.wrap_socket(connection, server_side=True) as secure:
                self._tunnel(secure)
        else:
            self._tunnel(connection)

    def _tunnel(self, connection: socket.socket) -> None:
        head = read_request(connection).decode("latin-1")
        target = head.split()[1]
        if self._wanted is not None and f"Proxy-Authorization: {self._wanted}" not in head:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        self.connected.append(target)
        with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2])), 5) as onward:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            _both_ways(connection, onward)


def _both_ways(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until a side ends.

    In one thread: before Python 3.13 a TLS socket that one thread reads while another writes breaks at times.
    """
    while True:
        held = isinstance(one, ssl.SSLSocket) and one.pending()  # decrypted already: select would not tell
        ready = [one] if held else select.select([one, other], [], [], 10)[0]
        if not ready:
            return
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (other if source is one else one).sendall(data)
