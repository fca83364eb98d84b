"""When the simulated API misbehaves: by rate, by chance, or because a message asks for it. Pure."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Literal, cast, get_args

#: 503, 429 and 500 are HTTP statuses; close breaks the connection in the middle of the answer; html
#: answers 200 with a web page; in each of these the call has not been carried out. lost carries it out and then breaks
#: the connection, so that the caller cannot tell it from close.
FaultKind = Literal["503", "429", "500", "close", "html", "lost"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

_MARKER = re.compile(r"\[sandbox:(" + "|".join(FAULT_KINDS) + r")\]")
_REMEMBERED = 10_000


class Faults:
    """Decides which calls fail.

    A message whose text holds `[sandbox:503]` (or :429, :500, :close, :html, :lost) meets that fault on its
    first try and is accepted from the second on; so a demonstration can show one retry at will.

    Args:
        rate_limit: Calls a second each user may make; beyond it they meet 429. None is no limit.
        fail_rate: Share of calls that fail by chance, 0 to 1.
        fault: What those meet.
        random: Random numbers from 0 to 1.
    """

    def __init__(
        self, rate_limit: float | None, fail_rate: float, fault: FaultKind, random: Callable[[], float]
    ) -> None:
        self._rate = rate_limit
        self._fail_rate = fail_rate
        self._fault = fault
        self._random = random
        self._tokens: dict[str, tuple[float, float]] = {}
        self._tried: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def over_limit(self, user: str, now: float) -> int | None:
        """Count a call of this user; return the whole seconds it must wait, None when it may pass.

        Args:
            user: Whose calls are counted.
            now: Seconds on a clock that never goes back.
        """
        if self._rate is None:
            return None
        room = max(1.0, self._rate)
        tokens, then = self._tokens.get(user, (room, now))
        tokens = min(room, tokens + (now - then) * self._rate)
        allowed = tokens >= 1.0
        self._tokens[user] = (tokens - 1.0 if allowed else tokens, now)
        return None if allowed else max(1, math.ceil((1.0 - tokens) / self._rate))

    def strikes(self, parameters: Mapping[str, str]) -> FaultKind | None:
        """Return the fault this call meets, None when it is answered."""
        text = parameters.get("message", "")
        if "[sandbox:" in text and (found := _MARKER.search(text)):
            key = tuple(parameters.get(p, "") for p in ("user", "platform", "platformid", "destination", "message"))
            if key not in self._tried:
                self._tried[key] = None
                if len(self._tried) > _REMEMBERED:
                    self._tried.popitem(last=False)
                return cast(FaultKind, found[1])
        if self._fail_rate and self._random() < self._fail_rate:
            return self._fault
        return None
