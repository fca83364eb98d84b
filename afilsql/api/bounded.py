"""Answers that are read within their limits: in all of the time, not in each read's, and no longer head or line.

http.client counts its time-out anew for every byte, so that a server that drips one byte a second would hold a sender
for ever.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

#: Largest head of an answer, in bytes, with the interim answers (1xx) before it; servers commonly allow 8 or 16 KB.
HEAD_LIMIT = 65_536

_LINE_LIMIT = 65_537


class _DeadlineReader(io.RawIOBase):
    """Reads a socket, giving each read only what is left of the whole answer's time."""

    def __init__(self, inner: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._inner = inner
        self._sock = sock
        self._deadline = deadline
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.ended:
            return 0
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took longer than the read time-out")
        self._sock.settimeout(left)
        return self._inner.readinto(buffer)

    def close(self) -> None:
        self._inner.close()
        super().close()


class AnswerReader(io.BufferedReader):
    """Reads an answer: bounds its head and every line, and notices what comes after it.

    Attributes:
        in_head: The lines being read are those of the head.
        left_over: More was received than belongs to the answer. Known once closed.
    """

    raw: _DeadlineReader

    def __init__(self, raw: _DeadlineReader) -> None:
        super().__init__(raw)
        self.in_head = True
        self.left_over = False
        self._head_left = HEAD_LIMIT

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(_LINE_LIMIT if size is None or size < 0 else size)
        if self.in_head:
            self._head_left -= len(line)
            if self._head_left < 0:
                raise http.client.HTTPException(f"the head of the answer is longer than {HEAD_LIMIT} bytes")
        return line

    def close(self) -> None:
        if not self.closed:
            self.raw.ended = True  # what was received already is looked at, and nothing waited for
            self.left_over = bool(self.peek(1))
        super().close()


class BoundedResponse(http.client.HTTPResponse):
    reader: AnswerReader | None = None

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        timeout = sock.gettimeout()
        if timeout is not None:
            deadline = time.monotonic() + timeout
            self.fp = self.reader = AnswerReader(_DeadlineReader(self.fp.detach(), sock, deadline))

    def begin(self) -> None:
        super().begin()
        if self.reader is not None:
            self.reader.in_head = False

    def _read_status(self) -> tuple[str, int, str]:
        # http.client passes over 100 alone and takes any other interim answer for the answer itself; the real one
        # would then be read as the answer to the next request on this connection.
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 < found[1] < 200:
                return found
            http.client.parse_headers(self.fp)
