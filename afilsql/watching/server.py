"""A port for those who watch a worker: /healthz, /readyz and /metrics."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app

from afilsql.errors import ConfigError

#: Seconds a client may be silent, and clients at a time: the worker needs threads and file descriptors, too.
_SILENCE, MOST = 10.0, 50
_PLAIN = ("Content-Type", "text/plain; charset=utf-8")

#: Returns what is wrong, None when nothing is.
Check = Callable[[], str | None]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self._room = threading.BoundedSemaphore(MOST)
        super().__init__(*arguments, **more)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, or cut the connection where there are too many."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def server_bind(self) -> None:
        """Take the port without asking a name server what this machine is called."""
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that hangs up is no event."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _SILENCE
    server_version = "afilsql"
    sys_version = ""

    def log_message(self, format: str, *args: Any) -> None:
        """Keep no log of requests."""


class WatchServer:
    """Serves from a thread of this process while it is entered.

    Args:
        host: Address to listen on.
        port: 0 takes any free port.
        frozen: For /healthz: why the process should be restarted.
        unready: For /readyz: why nothing is delivered.
        registry: For /metrics.
    """

    def __init__(self, host: str, port: int, *, frozen: Check, unready: Check, registry: CollectorRegistry) -> None:
        self._host = host
        self._port = port
        self._checks = {"/healthz": frozen, "/readyz": unready}
        self._metrics = make_wsgi_app(registry)
        self._server: WSGIServer | None = None

    @property
    def url(self) -> str:
        """Where it listens, once entered."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def __enter__(self) -> Self:
        """Take the port and serve. Raises ConfigError."""
        kind = _Server6 if ":" in self._host else _Server
        try:
            self._server = make_server(self._host, self._port, self._answer, kind, _Handler)
        except OSError as error:
            raise ConfigError(
                f"the metrics cannot be served on {self._host}:{self._port} ({error.strerror or error}): choose "
                "another AFILSQL_METRICS_PORT or AFILSQL_METRICS_HOST, one for each worker of a machine"
            ) from None
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.25,), name="watching", daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start("405 Method Not Allowed", [_PLAIN, ("Allow", "GET, HEAD")])
            return [b"only GET and HEAD\n"]
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start)
            return answer
        check = self._checks.get(path)
        if check is None:
            start("404 Not Found", [_PLAIN])
            return [b"there are /healthz, /readyz and /metrics\n"]
        wrong = check()
        start("200 OK" if wrong is None else "503 Service Unavailable", [_PLAIN, ("Cache-Control", "no-store")])
        return [f"{wrong or 'ok'}\n".encode()]
