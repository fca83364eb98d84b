"""An ASGI application on a port: in a thread beside the caller, or as the whole process."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from afilsql.errors import ConfigError

_log = logging.getLogger(__name__)

#: Seconds until a server that was started must answer, and those it gets beyond its own grace time to stop.
_START_SECONDS, _STOP_SECONDS = 10.0, 5.0


def listen(host: str, port: int, what: str, instead: str) -> socket.socket:
    """Return a socket that listens there.

    Args:
        host: An address of this machine, or its name.
        port: 0 takes any free port.
        what: What is to be served, for the error.
        instead: What to do when it cannot listen, for the error.

    Raises:
        ConfigError: It cannot.
    """
    try:
        if not 0 <= port <= 65_535:
            raise OSError(0, "not a port")
        # It names the protocol as well: only then asyncio turns Nagle's delay off, which costs an answer 40 ms.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(f"{what} cannot listen on {host}:{port} ({error.strerror}): {instead}") from None
    return listener


def url_of(host: str, port: int, scheme: str = "http") -> str:
    """Return the address of what listens there, without a path."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def serve(config: uvicorn.Config, listener: socket.socket, ready: Callable[[], object]) -> None:
    """Serve until SIGTERM or SIGINT, after which requests under way end within the configuration's grace time.

    Args:
        config: What is served, and how.
        listener: Where.
        ready: Called before the first request is answered, when a signal ends the server already.
    """
    server = uvicorn.Server(config)
    with _ending(server):
        ready()
        server.run(sockets=[listener])


class ServerThread:
    """A server in a thread of its own, which serves until stopped and ends with the process.

    Args:
        config: What it serves, and how.
        listener: Where; closed when it stops.
        name: The thread's.

    Raises:
        ConfigError: It does not start.
    """

    def __init__(self, config: uvicorn.Config, listener: socket.socket, *, name: str) -> None:
        self._server = uvicorn.Server(config)
        self._grace = config.timeout_graceful_shutdown or 0
        self._thread = threading.Thread(target=self._run, args=(listener,), name=name, daemon=True)
        self._thread.start()
        give_up = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                self.stop()
                listener.close()
                raise ConfigError(f"{name} did not start: choose another port")
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop serving; requests under way get the configuration's grace time. May be called twice."""
        self._server.should_exit = True
        self._thread.join(self._grace + _STOP_SECONDS)

    def _run(self, listener: socket.socket) -> None:
        try:
            self._server.run(sockets=[listener])
        except Exception:  # noqa: BLE001 - it may hold anything, and ends nothing but this thread
            _log.error("a server ended by itself: what it served is there again after a restart")


@contextmanager
def _ending(server: uvicorn.Server) -> Iterator[None]:
    """Have signals end a server: before it handles them itself, and when it raises them once more after its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
