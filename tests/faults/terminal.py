"""A program on a terminal of its own: a real pseudo-terminal, and an emulator that says what a person would see."""

from __future__ import annotations

import os
import select
import subprocess
import termios
import time
from collections.abc import Callable, Sequence
from fcntl import ioctl
from struct import pack
from typing import Any, Self

import pyte

from tests.patience import PATIENCE


class Terminal:
    """A context manager; what runs in it is killed at its end.

    Attributes:
        raw: Everything the program wrote.
        process: The program.
    """

    def __init__(self, command: Sequence[str], environ: dict[str, str], *, columns: int = 80, lines: int = 24) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, self._theirs = os.openpty()
        ioctl(self._theirs, termios.TIOCSWINSZ, pack("HHHH", lines, columns, 0, 0))
        self.before = self.attributes()
        self.raw = b""
        self.process = subprocess.Popen(
            command,
            env={**environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"},
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
            preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def attributes(self) -> list[Any]:
        """How the terminal is set: echo, line by line, special characters."""
        return termios.tcgetattr(self._theirs)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._ours, keys.encode())

    def text(self) -> str:
        """What is on the screen now."""
        while select.select([self._ours], [], [], 0.02)[0]:
            data = os.read(self._ours, 65536)
            self.raw += data
            self._stream.feed(data)
        return "\n".join(line.rstrip() for line in self._screen.display)

    def wait(self, condition: Callable[[str], object], seconds: float = PATIENCE) -> str:
        """Wait until the screen is as expected; return it."""
        end = time.monotonic() + seconds
        while not condition(text := self.text()):
            assert time.monotonic() < end, f"the screen did not become what was expected:\n{text}"
        return text

    def ended(self) -> int:
        """Wait for the program to end; return its exit code."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it did not end:\n{self.text()}"
            self.text()
        self.text()
        return self.process.returncode
