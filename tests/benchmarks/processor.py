"""Processor time of processes, as Linux counts it. Elsewhere there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

_TICKS = os.sysconf("SC_CLK_TCK")
_LISTENING = "0A"


def seconds(pid: int) -> float:
    """Return the processor seconds of a process and of those of its children that have ended; 0.0 when it is gone."""
    fields = _fields(pid)
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS if fields else 0.0


class Engine:
    """The T-SQL engine of a URL, where its processes can be seen: on this machine, not in a container.

    Args:
        url: Of one of its databases, or of an embedded outbox, which has none.
    """

    def __init__(self, url: str) -> None:
        port = sa.make_url(url).port
        inodes = set() if port is None else set(_listening(port))
        self._server = min(_holders(inodes), default=None) if inodes else None

    def seconds(self) -> float:
        """Return the processor seconds of all its processes; 0.0 when it has none that can be seen."""
        if self._server is None:
            return 0.0
        children = [pid for pid in _pids() if (fields := _fields(pid)) and int(fields[1]) == self._server]
        return sum(seconds(pid) for pid in (self._server, *children))


def _fields(pid: int) -> list[str]:
    """What /proc says of a process, from its state on; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _listening(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"


def _holders(sockets: set[str]) -> Iterator[int]:
    for pid in _pids():
        try:
            if any(str(file.readlink()) in sockets for file in Path(f"/proc/{pid}/fd").iterdir()):
                yield pid
        except OSError:
            continue
