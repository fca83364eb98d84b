"""How the page shows text from outside, times and numbers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

#: Characters that cannot be seen, or that change how others are: controls, bidirectional marks and overrides, invisible
#: separators, halves of surrogate pairs. Joiners stay, since emoji and scripts are made with them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff]"
)


def visible(value: Any) -> Any:
    """Return text with a replacement character for each that is not seen; anything else as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSEEN.sub("\ufffd", value.replace("\r\n", "\n").replace("\r", "\n"))


def moment(value: datetime | None) -> Markup | str:
    """Return a time as an element, in UTC and to the second."""
    if value is None:
        return "–"
    at = value.astimezone(UTC)
    machine = escape(at.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    return Markup('<time datetime="{}">{}</time>').format(machine, at.strftime("%Y-%m-%d %H:%M:%S"))


def duration(seconds: float | None) -> str:
    """Return seconds as people say them: 5 s, 12 min, 3 h, 4 days."""
    if seconds is None:
        return "–"
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def number(value: float) -> str:
    """Return a number with its thousands apart."""
    return f"{value:,.1f}".removesuffix(".0") if isinstance(value, float) else f"{value:,}"
