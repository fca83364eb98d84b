"""Logging: lines for people on a terminal, JSON lines elsewhere, and never a password in either."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import fields
from typing import Any, Literal, TextIO, cast

import structlog

from afilsql.delivery import events

LogFormat = Literal["auto", "json", "console"]

_SECRET = re.compile(r"passw|pwd|secret|token|authorization|credential|api_?key", re.IGNORECASE)
_LEVEL = {
    events.Claimed: "debug",
    events.DatabaseLost: "error",
    events.AccountHeld: "error",
    events.LeaseLost: "warning",
    events.ResultRefused: "error",
}


def configure(
    stream: TextIO, *, level: str = "info", format: LogFormat = "auto"
) -> structlog.typing.FilteringBoundLogger:
    """Set logging up and return the logger.

    Args:
        stream: Where lines go.
        level: debug, info, warning or error.
        format: "auto" is console when the stream is a terminal, JSON lines otherwise.
    """
    console = format == "console" or (format == "auto" and stream.isatty())
    renderers: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Forgiving(stream))),
        cache_logger_on_first_use=False,
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


class _Forgiving:
    """A stream whose reader may be gone and whose disk may be full: a worker goes on without its log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of keys that look like secrets, at any depth."""
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


def _clean(key: str, value: Any) -> Any:
    if _SECRET.search(key):
        return "***"
    if isinstance(value, Mapping):
        return {k: _clean(str(k), v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", v) for v in value]
    return value


def log_event(logger: structlog.typing.FilteringBoundLogger, event: events.Event) -> None:
    """Write one event of the worker as a log line."""
    level = _LEVEL.get(type(event), "info")
    if isinstance(event, events.Delivered) and event.kind in ("failed", "uncertain", "hold", "retry"):
        level = "warning"
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    values = {f.name: getattr(event, f.name) for f in fields(event)}
    getattr(logger, level)(name, **{k: v for k, v in values.items() if v is not None})
