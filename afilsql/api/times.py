"""Times as the API writes them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo


def time_of(text: str | None, zone: tzinfo) -> datetime | None:
    """Return a time of a list in UTC; None for one that is not ISO 8601, or is an hour that comes twice.

    Args:
        text: The `datetime` of a chat or message.
        zone: Of times that name none.
    """
    try:
        time = datetime.fromisoformat((text or "").strip())
        if time.tzinfo is None:
            time = time.replace(tzinfo=zone)
            if time.utcoffset() != time.replace(fold=1).utcoffset():
                return None
        return time.astimezone(UTC)
    except (ValueError, OverflowError):  # in UTC it may lie before the year 1 or after 9999
        return None
