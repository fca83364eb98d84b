"""A manager of services for a test: the socket that systemd would listen at, and what it was told."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Self
from uuid import uuid4

from tests.patience import PATIENCE

State = dict[str, str]


class Manager:
    """Listens at a datagram socket; what it was told stays in `heard`, oldest first.

    Args:
        folder: Where the socket is; None takes a name in Linux's abstract namespace.

    Attributes:
        address: What NOTIFY_SOCKET is to say.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.address = f"{folder}/notify" if folder else f"@afilsql-{uuid4()}"
        self.heard: list[State] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address if folder else "\0" + self.address[1:])

    def next(self, seconds: float = PATIENCE) -> State:
        """Wait for a message and return its states; fails when none comes."""
        self._socket.settimeout(seconds)
        states = dict(line.split("=", 1) for line in self._socket.recv(65536).decode().splitlines())
        self.heard.append(states)
        return states

    def until(self, name: str, seconds: float = PATIENCE) -> State:
        """Wait for a message that says this state."""
        end = time.monotonic() + seconds
        while True:
            states = self.next(max(0.01, end - time.monotonic()))
            if name in states:
                return states

    def silence(self, seconds: float) -> bool:
        """Take what has come, then wait; return whether nothing came meanwhile."""
        self._socket.setblocking(False)
        try:
            while True:
                self._socket.recv(65536)
        except BlockingIOError:
            pass
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(65536)
        except TimeoutError:
            return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()
