"""What signals make of a running worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

#: Signals that end a worker gently.
_ENDING = (signal.SIGTERM, signal.SIGINT)


def on_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Stop gently at the first SIGTERM or SIGINT, a second SIGINT interrupts; read the settings anew at SIGHUP.

    In a process with a controlling terminal SIGHUP says that the terminal is gone, and stops gently as well. One that
    is ignored, as under `nohup`, stays ignored.

    Args:
        stop, reload: Called in the main thread, between any two instructions of it.
    """

    def end(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    def hang_up(number: int, frame: object) -> None:
        if terminal:
            end(number, frame)
        else:
            reload()

    terminal = has_terminal()
    handlers: dict[int, Callable[[int, object], None]] = dict.fromkeys(_ENDING, end)
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = hang_up
    for number, handler in handlers.items():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def has_terminal() -> bool:
    """Whether this process has a controlling terminal, which could hang up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return False
    return True
