"""Was it sent? Told from the conversation as the API lists it. Pure; doubt is never a guess.

The list is compared with what the outbox knows: the message in question and everything else it sent to the
conversation lately. Times of the list are the API's, all others the database's, so a worker's clock plays no part.

arrived   one copy of the text more is listed than other requests account for, and one that is new since the try
absent    the text is not listed since the try, which is long enough ago for the API to have listed it; an earlier
          message of the outbox's own is listed at its time, so the list reaches back, shows texts as they were sent,
          and its clock agrees; from there on all that arrived is listed, and nothing that could be this one
doubt     anything else
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Literal

from afilsql.api.reply import Row
from afilsql.api.times import time_of
from afilsql.outbox.records import KNOWN_LIMIT, Check, Known

#: How far the API's clock and the database's may differ, with the time a call may take.
TOLERANCE = timedelta(seconds=120)
#: Copies listed longer before the try than this are not its: more than any wrong time zone and tolerance together.
FAR = timedelta(hours=26)
_KNOWN_CHARS = 4000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a conversation says of a message.

    Attributes:
        why: One line for a person.
    """

    outcome: Literal["arrived", "absent", "doubt"]
    why: str


def judge(
    check: Check, parameters: Mapping[str, str], listed: Sequence[Row], *, zone: tzinfo, settle: timedelta
) -> Verdict:
    """Say whether an uncertain send arrived.

    Args:
        check: What the outbox knows.
        parameters: Of the send, by the API's names.
        listed: The conversation's messages as getmessages lists them, in any order.
        zone: Of the API's times that name none.
        settle: The API lists what it accepted within this time.
    """
    wanted = [parameters[p] for p in ("message", "fileurl") if parameters.get(p)]
    ours = [m for m in listed if getattr(m, "sent", None) is not False]
    copies = [m for m in ours if _is_one_of(m, wanted)]
    rivals = [k for k in check.known if any(_same(t, w) for t in k.texts for w in wanted)]
    since = check.unknown_since - TOLERANCE
    times = {id(m): time_of(getattr(m, "datetime", None), zone) for m in ours}
    if len(check.known) >= KNOWN_LIMIT:
        return _doubt("the conversation has too many messages to tell them apart")
    if any(getattr(m, "sent", None) is None for m in copies):
        return _doubt("the text is listed, but not who sent it")
    if any(times[id(m)] is None for m in copies):
        return _doubt("the text is listed, but without a time that can be read")
    uncertain = next((k for k in rivals if not k.certain), None)
    if uncertain is not None:
        return _doubt(f"request {uncertain.id} with the same text may have arrived as well")

    recent = [t for m in copies if (t := times[id(m)]) is not None and t >= check.unknown_since - FAR]
    expected = [k for k in rivals if k.taken_at >= check.unknown_since - FAR]
    extra = len(recent) - len(expected)
    if extra > 1:
        return _doubt(f"the text is listed {len(recent)} times, {extra} more than sent from here: others send it too")
    if extra < 0:
        return _doubt("the list does not show all that is known to have arrived")
    if extra == 1:
        new = sum(since <= t <= check.now + TOLERANCE for t in recent)
        if new == sum(k.taken_at >= since for k in expected) + 1:
            return Verdict("arrived", f"read back: the text is listed at {max(recent):%Y-%m-%d %H:%M:%S} UTC")
        return _doubt(
            f"the text is listed at {max(recent):%Y-%m-%d %H:%M:%S} UTC, not when it was sent "
            f"({check.unknown_since:%H:%M:%S}): is AFILSQL_API_TIME_ZONE right?"
        )
    if check.now - check.taken_at < settle:
        return _doubt("the text is not listed yet")
    if any(t >= since for t in recent):
        return _doubt("the same text was sent shortly before: which of them is listed cannot be told")
    anchored = False
    for known, place in _anchors(check, ours, times):
        anchored = True
        listed_since = [m for m in ours if (t := times[id(m)]) is None or t >= place]
        strange = _left_over([k for k in check.known if k.taken_at >= known.taken_at], listed_since)
        if strange is not None and all(
            (t := times[id(m)]) is not None and t < since and not _is_one_of(m, wanted) for m in strange
        ):
            return Verdict("absent", "read back: the text is not listed, and all that was sent before and since is")
    if anchored:
        return _doubt("the text is not listed, but other messages are listed, or missing, that could explain it")
    return _doubt("the text is not listed, but neither is an earlier one that would prove the list complete")


def next_look(check: Check, after: float, settle: float) -> float | None:
    """Return the seconds until the next look at a conversation, None when this was the last.

    Looks come `after` seconds after the try, then after four times as many, and so on; the last one after `settle`.
    """
    age = (check.now - check.taken_at).total_seconds()
    if age >= settle:
        return None
    due = max(after, 1.0)
    while due <= age + 1.0:
        due *= 4
    return max(1.0, min(due, settle) - age + 0.1)


def _doubt(why: str) -> Verdict:
    return Verdict("doubt", f"read back: {why}")


def _anchors(
    check: Check, ours: Sequence[Row], times: Mapping[int, datetime | None]
) -> Iterator[tuple[Known, datetime]]:
    """Yield earlier sends that are listed at their time, the latest first, with that time."""
    for known in sorted(check.known, key=lambda k: k.taken_at, reverse=True):
        if not known.certain or known.taken_at >= check.unknown_since:
            continue
        for message in ours:
            time = times[id(message)]
            if time is not None and abs(time - known.taken_at) <= TOLERANCE and _is_one_of(message, known.texts):
                yield known, time


def _left_over(known: Sequence[Known], listed: Sequence[Row]) -> list[Row] | None:
    """Return the listed messages that no known send accounts for; None when one that arrived is not listed."""
    free = list(known)
    left: list[Row] = []
    for message in listed:
        match = next((k for k in free if _is_one_of(message, k.texts)), None)
        if match is None:
            left.append(message)
        else:
            free.remove(match)
    return None if any(k.certain for k in free) else left


def _is_one_of(message: Row, texts: Sequence[str]) -> bool:
    listed = getattr(message, "message", None)
    return listed is not None and any(_same(listed, text) for text in texts)


def _same(one: str, other: str) -> bool:
    """True when two texts differ in nothing but what an API may change on the way: line ends, outer space, form."""
    a, b = (_plain(text) for text in (one, other))
    if min(len(one), len(other)) >= _KNOWN_CHARS:
        return a[: _KNOWN_CHARS - 100] == b[: _KNOWN_CHARS - 100]
    return a == b


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
