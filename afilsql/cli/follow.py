"""Follow the messages of a channel, or of one chat of it, as they are stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from afilsql.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from afilsql.outbox.base import Outbox
    from afilsql.outbox.records import Subscription

Row = Mapping[str, Any]

#: Seconds between two looks, and while the database is away.
PAUSE, PAUSE_AWAY = 1.0, 3.0
#: Seconds after which no message can appear any more with an id below the highest there was.
SETTLED = 60.0
#: Messages read at a time.
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Channel:
    """What is followed: a channel of an account, or with a destination one chat."""

    account: str
    platform: str
    platformid: str
    destination: str | None = None

    def __str__(self) -> str:
        chat = f" {self.destination}" if self.destination else ""
        return f"{self.platform} {self.platformid}{chat} of the account {self.account}"


class Follower:
    """Reads what was stored since it last looked; each look reads new rows only.

    Messages of a channel are stored one answer after the other, so their ids grow in the order in which they appear.

    Args:
        outbox: Where the messages are.
        channel: Whose.
        monotonic: Seconds that never go back.

    Raises (all methods): DatabaseError.
    """

    def __init__(self, outbox: Outbox, channel: Channel, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._outbox = outbox
        self._channel = channel
        self._monotonic = monotonic
        self._last = self._mark = self._newest()
        self._marked_at = monotonic()

    def history(self, count: int) -> list[dict[str, Any]]:
        """Return the last messages there were at the beginning, oldest first."""
        rows = self._rows(latest=True, limit=count) if count else []
        return [row for row in rows if row["id"] <= self._last]

    def news(self) -> list[dict[str, Any]]:
        """Return what was stored since, oldest first: some of it if it is much, the rest the next time."""
        rows = self._rows(after=self._last, limit=PAGE)
        if rows:
            self._last = rows[-1]["id"]
        elif self._monotonic() - self._marked_at >= SETTLED:
            # Other channels' messages, which this one is not among: a silent channel stays as cheap as a busy one.
            self._last = max(self._last, self._mark)
            self._mark, self._marked_at = self._newest(), self._monotonic()
        return rows

    def _newest(self) -> int:
        rows = self._outbox.rows_of("messages", latest=True, limit=1)
        return int(rows[0]["id"]) if rows else 0

    def _rows(self, *, limit: int, after: int | None = None, latest: bool = False) -> list[dict[str, Any]]:
        c = self._channel
        return self._outbox.rows_of(
            "messages",
            limit=limit,
            account=c.account,
            platform=c.platform,
            platformid=c.platformid,
            destination=c.destination,
            after=after,
            latest=latest,
        )


def follow(
    outbox: Outbox,
    channel: Channel,
    *,
    history: int,
    show: Callable[[Row], object],
    tell: Callable[[str], object],
    sleep: Callable[[float], object] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> NoReturn:
    """Show the last messages, then each new one, until something is raised; a database that goes away is sat out.

    Messages that were there before the first look at their conversation (`is_new` 0) are only counted.

    Args:
        outbox: Where the messages are.
        channel: What to follow.
        history: How many of the messages that are there to show first.
        show: Called with each message.
        tell: Called with what a person should know beside the messages.
        sleep: Waits a number of seconds.
        monotonic: Seconds that never go back.

    Raises:
        DatabaseError: At the beginning when the database cannot be used, later when it refuses to be read.
    """
    if (hint := subscription_hint(outbox.subscriptions(), channel)) is not None:
        tell(hint)
    follower = Follower(outbox, channel, monotonic=monotonic)
    for row in follower.history(history):
        show(row)
    away = False
    while True:
        try:
            rows = follower.news()
        except DatabaseUnavailable as error:
            if not away:
                tell(f"{error}; following goes on once it is back")
            away = True
            sleep(PAUSE_AWAY)
            continue
        if away:
            tell("the database is back")
            away = False
        new = [row for row in rows if row["is_new"] is None or row["is_new"]]
        for row in new:
            show(row)
        if older := len(rows) - len(new):
            tell(f"not shown: {older} from before the first look at their chat; --history shows what is stored")
        if len(rows) < PAGE:
            sleep(PAUSE)


def subscription_hint(subscriptions: Sequence[Subscription], channel: Channel) -> str | None:
    """Return what to do when nothing brings the channel's messages, None when something does."""
    wanted = (channel.account, channel.platform, channel.platformid)
    found = [s for s in subscriptions if (s.account, s.platform, s.platformid) == wanted]
    if channel.destination is not None:
        found = [s for s in found if s.destination in (None, channel.destination)]
    if not found:
        options = "" if channel.account == "default" else f" --account {channel.account}"
        return (
            f"nothing is subscribed to {channel}: run `afilsql subscribe {channel.platform} {channel.platformid}"
            f"{options}`; what is stored is followed meanwhile"
        )
    if all(s.error_code is not None for s in found):
        return f"the last look failed with {found[0].error_code}: `afilsql subscriptions` says more"
    return None
