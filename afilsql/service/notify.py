"""What a service tells the manager that started it: systemd's sd_notify, over the socket named in NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

#: Seconds a manager that does not read may hold up the worker.
TIMEOUT = 1.0


class Notifier:
    """Sends states to the manager. Safe to use from many threads; what cannot be told stays untold.

    Args:
        address: A socket's path, or `@name` in Linux's abstract namespace; None, and any other kind, is nobody.
    """

    def __init__(self, address: str | None) -> None:
        self._socket: socket.socket | None = None
        unix = getattr(socket, "AF_UNIX", None)
        if unix is None or not address or address[0] not in "/@":
            return
        self._address = "\0" + address[1:] if address[0] == "@" else address
        self._socket = socket.socket(unix, socket.SOCK_DGRAM)
        self._socket.settimeout(TIMEOUT)

    @property
    def is_heard(self) -> bool:
        """Whether there is a manager to tell."""
        return self._socket is not None

    def tell(self, **states: str | int) -> None:
        """Send states in one message, such as READY=1; raises nothing."""
        mine = self._socket  # which another thread may close
        if mine is None:
            return
        message = "\n".join(f"{name}={value}" for name, value in states.items())
        with suppress(OSError):
            mine.sendto(message.encode(), self._address)

    def close(self) -> None:
        """Tell nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def watchdog_seconds(environ: Mapping[str, str], pid: int | None = None) -> float | None:
    """Return the seconds after which systemd takes this process for frozen; None when it does not watch it.

    Args:
        environ: Environment variables.
        pid: Of this process; None asks for it.
    """
    watched = environ.get("WATCHDOG_PID")
    if watched and watched != str(os.getpid() if pid is None else pid):
        return None
    try:
        seconds = int(environ.get("WATCHDOG_USEC", "")) / 1e6
    except ValueError:
        return None
    return seconds if seconds > 0 else None
