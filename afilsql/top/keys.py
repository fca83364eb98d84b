"""Single keys from the terminal, as they are pressed; the terminal is put back as it was."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Waits for a key, so many seconds at most; "" when none came. "up" and "down" are the arrows.
ReadKey = Callable[[float], str]

#: An escape sequence, or one character: what was typed fast comes in one piece.
_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)
_ARROWS = {"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down"}
_WINDOWS_ARROWS = {"H": "up", "P": "down"}
_POLL = 0.02

if sys.platform == "win32":
    import msvcrt

    @contextmanager
    def keys() -> Iterator[ReadKey]:
        """Yield what reads a key from the console."""

        def read(seconds: float) -> str:
            end = time.monotonic() + seconds
            while not msvcrt.kbhit():
                if time.monotonic() >= end:
                    return ""
                time.sleep(_POLL)
            key = msvcrt.getwch()
            if key == "\x03":
                raise KeyboardInterrupt
            return _WINDOWS_ARROWS.get(msvcrt.getwch(), "") if key in "\x00\xe0" else key

        yield read

else:
    import select
    import termios
    import tty

    @contextmanager
    def keys() -> Iterator[ReadKey]:
        """Yield what reads a key from standard input, unbuffered and without an echo.

        Ctrl+C still interrupts; Ctrl+Z does nothing, as it would leave the screen behind.
        """
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        typed_before: list[str] = []

        def read(seconds: float) -> str:
            if typed_before:
                return typed_before.pop(0)
            if not select.select([terminal], [], [], seconds)[0]:
                return ""
            typed = os.read(terminal, 64)
            if not typed:  # the terminal is gone
                raise KeyboardInterrupt
            found = _KEY.findall(typed.decode("utf-8", "ignore"))
            typed_before.extend(_ARROWS.get(key, key if len(key) == 1 else "") for key in found)
            return typed_before.pop(0) if typed_before else ""

        try:
            tty.setcbreak(terminal, termios.TCSANOW)
            during = termios.tcgetattr(terminal)
            during[6][termios.VSUSP] = b"\x00"
            termios.tcsetattr(terminal, termios.TCSANOW, during)
            yield read
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
