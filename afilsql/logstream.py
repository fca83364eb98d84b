"""A stream for log lines that never makes its writer wait, and a sink that says when it cannot write.

A pipe that nobody reads, a full disk, a closed pipe or a halted terminal costs log lines, which are
counted and told of, and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TextIO

#: Characters kept while the sink does not take them: some thousands of lines.
CAPACITY = 1_000_000
#: Seconds between two tries at a descriptor that was made non-blocking and is full.
_FULL = 0.02


class Sink(Protocol):
    """Where lines end up. All calls come from one thread, which may be left behind in any of them.

    Attributes:
        every: Seconds after which `tick` is called while no line comes; None is never.
    """

    every: float | None

    def write(self, text: str) -> object:
        """Write lines, waiting as long as it takes. An exception means that they were not written."""

    def tick(self) -> None:
        """Do what is to be done now and then."""

    def close(self) -> None:
        """Nothing follows."""


class TextSink:
    """Standard error or a file, written without the locks that would keep a stuck process from ending.

    Args:
        stream: None, which Python makes of a standard stream that is closed, takes everything.
    """

    every: float | None = None

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        buffer = getattr(stream, "buffer", None)
        self._raw = getattr(buffer, "raw", buffer)
        self._torn = False
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write the text. Raises OSError; then the next text begins on a line of its own."""
        if self._raw is None:
            if self._stream is not None:
                self._stream.write(text)
            return len(text)
        data = text.encode(self.encoding, "backslashreplace")
        left = memoryview(b"\n" + data if self._torn else data)
        try:
            while left:
                written = self._raw.write(left)
                if written is None:
                    time.sleep(_FULL)
                else:
                    left = left[written:]
                    self._torn = True
        finally:
            self._torn = self._torn and bool(left)
        return len(text)

    def tick(self) -> None:
        """Nothing is to be done."""

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        """The stream is its owner's to close."""

    def isatty(self) -> bool:
        """True for a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor, for whoever asks the terminal for its width. Raises OSError."""
        if self._stream is None:
            raise OSError("there is no stream")
        return self._stream.fileno()


class LogStream:
    """Takes lines at once and writes them from a thread of its own, in order.

    Lines that find no room, and lines the sink refuses, are dropped; where they are missing one line says how many.

    Args:
        sink: Where lines go.
        lost_line: Makes that line from the number of lines lost.
        capacity: Characters kept while the sink does not take them.
        on_lost: Told of lines as they are lost, by the thread that loses them; returns at once.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        lost_line: Callable[[int], str],
        capacity: int = CAPACITY,
        on_lost: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._sink = sink
        self._lost_line = lost_line
        self._capacity = capacity
        self._on_lost = on_lost
        self._changed = threading.Condition()
        self._lines: deque[str | int] = deque()  # a number stands where so many lines are missing
        self._kept = 0
        self._lost = 0
        self._closing = False
        self._owed = 0  # lines lost and not told of yet; the writing thread's own
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Take a line, or drop it; never waits for the sink."""
        with self._changed:
            # Once full, it takes lines again when half is written: one note of a gap, not one for every other line.
            room = self._capacity // 2 if self._lost else self._capacity
            if self._closing or self._kept + len(text) > room:
                self._lost += 1
                self._on_lost(1)
            else:
                if self._lost:
                    self._lines.append(self._lost)
                    self._lost = 0
                self._lines.append(text)
                self._kept += len(text)
            self._changed.notify()
        return len(text)

    def flush(self) -> None:
        """Do nothing: lines are on their way."""

    def close(self, timeout: float) -> bool:
        """Wait for the lines taken so far, `timeout` seconds at most; True when the sink has had them all."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            self._put(entry)
        self._put(0)
        with suppress(Exception):
            self._sink.close()

    def _next(self) -> str | int | None:
        """Wait for the next entry; None once closed and empty."""
        while True:
            with self._changed:
                if not (self._lines or self._lost or self._closing):
                    self._changed.wait(self._sink.every)
                if self._lines:
                    entry = self._lines.popleft()
                    self._kept -= len(entry) if isinstance(entry, str) else 0
                    return entry
                if self._lost:
                    lost, self._lost = self._lost, 0
                    return lost
                if self._closing:
                    return None
            with suppress(Exception):  # of a log that cannot be written nobody can be told
                self._sink.tick()

    def _put(self, entry: str | int) -> None:
        line = entry if isinstance(entry, str) else ""
        self._owed += entry if isinstance(entry, int) else 0
        try:
            if self._owed:
                self._sink.write(self._lost_line(self._owed))
                self._owed = 0
            if line:
                self._sink.write(line)
        except Exception:  # noqa: BLE001 - whatever a sink raises, the thread has to live for the lines after
            self._owed += bool(line)
            self._on_lost(bool(line))
