"""The sandbox on a port: in a thread beside the caller, or as the whole process."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any, Self

import uvicorn

from afilsql import asgi
from afilsql.sandbox.app import Sandbox, create_app


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
        self._thread: asgi.ServerThread | None = None

    @property
    def port(self) -> int:
        """The port in use, once entered."""
        return self._port

    @property
    def base_url(self) -> str:
        return asgi.url_of(self._host, self._port)

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
        self._thread = asgi.ServerThread(_config(self.sandbox), listener, name="afilsql-sandbox")

    def stop(self) -> None:
        """Stop serving; calls in flight get a second to finish. May be called twice."""
        if self._thread is not None:
            self._thread.stop()
        self._thread = None

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
    url = asgi.url_of(host, listener.getsockname()[1]) + "/api/http/"
    asgi.serve(_config(sandbox), listener, lambda: ready and ready(url))


def _config(sandbox: Sandbox) -> uvicorn.Config:
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
    return config


def _not_deliberate(record: logging.LogRecord) -> bool:
    """Let everything through but the complaint about the fault `close`."""
    return "without completing response" not in record.getMessage()


def _listen(host: str, port: int) -> socket.socket:
    return asgi.listen(host, port, "the sandbox", "choose another --port")
