"""Host names to addresses, with a limit on the wait.

getaddrinfo takes no time-out, and with a dead name server it blocks for half a minute and longer.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

Addresses = Sequence[tuple[Any, ...]]
Lookup = Callable[..., Addresses]


class Resolver:
    """Looks names up in threads, so that whoever asks can stop waiting. Safe to use from any thread.

    Who asks for a name that is being looked up waits for that answer: a dead name server costs one thread a
    name, not one a call.

    Args:
        lookup: Does it, as socket.getaddrinfo does.
    """

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, int], Future[Addresses]] = {}

    def __call__(self, host: str, port: int, timeout: float | None) -> Addresses:
        """Return the addresses as getaddrinfo does, waiting at most `timeout` seconds.

        Raises:
            TimeoutError: No answer in time.
            OSError: The name cannot be resolved.
        """
        with self._lock:
            future = self._pending.get((host, port))
            if future is None:
                future = Future()
                # Before the lock is left, or the thread could be done with the name before it is noted.
                threading.Thread(target=self._run, args=(host, port, future), name="resolver", daemon=True).start()
                self._pending[host, port] = future
        return future.result(timeout)

    def _run(self, host: str, port: int, future: Future[Addresses]) -> None:
        try:
            found = self._lookup(host, port, 0, socket.SOCK_STREAM)
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            self._forget(host, port)
            future.set_exception(error)
        else:
            self._forget(host, port)
            future.set_result(found)

    def _forget(self, host: str, port: int) -> None:
        with self._lock:
            del self._pending[host, port]
