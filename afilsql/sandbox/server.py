"""The sandbox on a port: in a thread beside the caller, or as the whole process."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import uvicorn

from afilsql.errors import ConfigError
from afilsql.sandbox.app import Sandbox, create_app

_START_SECONDS = 10.0


class SandboxServer:
    """The sandbox in a thread; a context manager that serves while it is entered.

    Args:
        port: 0 takes any free port.
        host: Address to listen on; the default is reached from this machine only.
        switches: Of Sandbox.

    Raises:
        ConfigError: A switch is out of range; on entering, the port cannot be taken.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1", **switches: Any) -> None:
        self.sandbox = Sandbox(**switches)
        self._host = host
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port in use, once entered."""
        return self._port

    @property
    def base_url(self) -> str:
        return _base_url(self._host, self._port)

    @property
    def url(self) -> str:
        """The simulated API's address."""
        return self.base_url + "/api/http/"

    def url_of(self, transport: str) -> str:
        """The simulated API's address for a transport: post, get, basic, json or soap."""
        return f"{self.base_url}/api/{'http' if transport in ('post', 'get') else transport}/"

    @property
    def wsdl(self) -> str:
        """Address of the WSDL."""
        return self.url_of("soap") + "?wsdl"

    @property
    def token_url(self) -> str:
        """The simulated token endpoint's address."""
        return self.base_url + "/oauth/token"

    @property
    def received(self) -> list[dict[str, Any]]:
        """The accepted calls in the order they arrived; see Sandbox.received."""
        return self.sandbox.received()

    def start(self) -> None:
        """Take the port and serve. Raises ConfigError."""
        listener = _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._server = _server(self.sandbox)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="afilsql-sandbox", daemon=True
        )
        self._thread.start()
        give_up = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                self.stop()
                listener.close()
                raise ConfigError(f"the sandbox did not start on {self._host}:{self._port}: try another port")
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop serving; calls in flight get a second to finish. May be called twice."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=10)
        self._server = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def serve(
    port: int = 8010, host: str = "127.0.0.1", *, ready: Callable[[str], None] | None = None, **switches: Any
) -> None:
    """Serve the sandbox until SIGTERM or SIGINT.

    Args:
        port: 0 takes any free port.
        host: Address to listen on.
        ready: Called with the simulated API's address once the port is taken.
        switches: Of Sandbox.

    Raises:
        ConfigError: A switch is out of range, or the port cannot be taken.
    """
    sandbox = Sandbox(**switches)
    listener = _listen(host, port)
    with _quiet_signals():
        if ready is not None:
            ready(_base_url(host, listener.getsockname()[1]) + "/api/http/")
        _server(sandbox).run(sockets=[listener])


def _server(sandbox: Sandbox) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(sandbox),
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
    )
    logging.getLogger("uvicorn.error").addFilter(_not_deliberate)
    return uvicorn.Server(config)


def _not_deliberate(record: logging.LogRecord) -> bool:
    """Let everything through but the complaint about the fault `close`."""
    return "without completing response" not in record.getMessage()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's delay off only where the protocol is named; with it each answer takes 40 ms more.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else "not a port"
        raise ConfigError(f"the sandbox cannot listen on {host}:{port} ({reason}): choose another --port") from None
    return listener


def _base_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Take the signals uvicorn raises once more after its own graceful stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
