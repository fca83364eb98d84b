"""Logging: lines for people on a terminal, JSON lines elsewhere, and never a password or a message's text in either.

Delivery never waits for the log, see `logstream`. What comes from outside cannot break a line or steer a terminal.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import PurePath
from traceback import extract_tb
from typing import Any, Literal, TextIO, cast

import structlog

from afilsql import plain
from afilsql.delivery import events
from afilsql.logstream import LogStream, Sink, TextSink

LogFormat = Literal["auto", "json", "console"]
Logger = structlog.typing.FilteringBoundLogger

#: Seconds a log that is being closed gets for the lines still on their way.
CLOSE_SECONDS = 2.0
_SECRET = re.compile(r"passw|pwd|secret|token|authorization|credential|api_?key", re.IGNORECASE)
_LEVELS = ("debug", "info", "warning", "error")
_LEVEL = {
    events.Claimed: "debug",
    events.DatabaseLost: "error",
    events.AccountHeld: "error",
    events.LeaseLost: "warning",
    events.ResultRefused: "error",
    events.BreakerOpened: "warning",
}


class Threshold:
    """Keeps a log to lines of a level and above.

    Attributes:
        level: debug, info, warning or error; may be changed from any thread.
    """

    def __init__(self, level: str) -> None:
        self.level = level

    def lets(self, level: str) -> bool:
        """Whether a line of this level is written."""
        return _LEVELS.index(level if level in _LEVELS else "error") >= _LEVELS.index(self.level)

    def __call__(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Let a line pass, or drop it; as structlog calls a processor."""
        if not self.lets(method):
            raise structlog.DropEvent
        return event


@contextmanager
def logging_to(
    stream: TextIO | None,
    *,
    level: str | Threshold = "info",
    format: LogFormat = "auto",
    sink: Sink | None = None,
    on_lost: Callable[[int], object] = lambda count: None,
) -> Iterator[Logger]:
    """Yield a logger that never waits for the stream; Python's own warnings and other libraries' go through it too.

    Args:
        stream: Where lines go; None is nowhere.
        level: debug, info, warning or error; or a Threshold, which may change while the log is open.
        format: "auto" is console when the stream is a terminal, JSON lines otherwise.
        sink: Takes the lines in place of the stream, which then only tells the format.
        on_lost: Told of lines as they are lost.
    """
    text = TextSink(stream)
    console = format == "console" or (format == "auto" and text.isatty())
    processors = _processors(console=console, colors=text.isatty())
    note = structlog.wrap_logger(
        structlog.ReturnLogger(), processors=processors, wrapper_class=structlog.make_filtering_bound_logger("warning")
    )
    lines = LogStream(
        sink or text, lost_line=lambda count: f"{note.warning('log_lines_lost', lines=count)}\n", on_lost=on_lost
    )
    logger: Logger = structlog.wrap_logger(
        structlog.WriteLogger(cast(TextIO, lines)),  # it calls write and flush only
        processors=[level if isinstance(level, Threshold) else Threshold(level), *processors],
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
    )
    others = _Others(logger)
    logging.captureWarnings(True)
    logging.getLogger().addHandler(others)
    try:
        yield logger
    finally:
        logging.getLogger().removeHandler(others)
        logging.captureWarnings(False)
        lines.close(CLOSE_SECONDS)


def _processors(*, console: bool, colors: bool) -> list[structlog.typing.Processor]:
    renderer = structlog.dev.ConsoleRenderer(colors=colors) if console else structlog.processors.JSONRenderer()
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    return [structlog.processors.add_log_level, stamp, harmless, renderer]


class _Others(logging.Handler):
    """Takes the warnings of other libraries, which Python would write to standard error and wait for.

    Only the pattern of a message is told: what is put into it could be anything.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        place = f"{record.filename}:{record.lineno}"
        # The module warnings has put its text together already.
        pattern = "" if record.name == "py.warnings" else str(record.msg)[:200]
        self._logger.warning("library_warning", library=record.name, place=place, pattern=pattern)


def harmless(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask the values of keys that look like secrets, and escape what does not print, at any depth."""
    return {plain.escaped(key): _harmless(key, value) for key, value in event.items()}


def _harmless(key: str, value: Any) -> Any:
    if _SECRET.search(key):
        return "***"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {plain.escaped(str(k)): _harmless(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_harmless("", v) for v in value]
    return plain.escaped(str(value))


def log_event(logger: Logger, event: events.Event, database: str = "", *, threshold: Threshold | None = None) -> None:
    """Write one event of the worker as a log line.

    Args:
        logger: Where to.
        event: What happened.
        database: Where the process serves several, which.
        threshold: The logger's own: what it would drop is then not put together either.
    """
    level = _level_of(event)
    if threshold is not None and not threshold.lets(level):
        return
    name, parts = _parts_of(type(event))  # type: ignore[arg-type]
    values = {part: v for part in parts if (v := getattr(event, part)) is not None}
    if not values.get("poll"):
        values.pop("poll", None)
    if (given := values.get("code")) is not None and (shown := plain.code(given)) != given:
        # The detail quotes the code.
        values |= {"code": shown, "detail": "the code is no name and may quote the message: see afil.attempts"}
    if database:
        values["database"] = database
    getattr(logger, level)(name, **values)


def _level_of(event: events.Event) -> str:
    if not isinstance(event, events.Delivered):
        return _LEVEL.get(type(event), "info")
    if event.poll:
        # One every few seconds would bury the rest; of those that keep failing afil.subscriptions tells.
        return "debug" if event.kind == "sent" else "info"
    return "warning" if event.kind in ("failed", "uncertain", "hold", "retry") else "info"


@cache
def _parts_of(kind: type) -> tuple[str, tuple[str, ...]]:
    """Return the name of a kind of event in the log, and the names of its values."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    return name, tuple(field.name for field in fields(kind))


def log_failure(logger: Logger, error: BaseException) -> None:
    """Write that a defect ends the worker: where it is, and not the error's text, which may hold anything."""
    frames = [f"{PurePath(f.filename).name}:{f.lineno} {f.name}" for f in extract_tb(error.__traceback__)]
    logger.error("worker_failed", error=type(error).__name__, frames=frames)
