"""Tries to sign in that failed, counted by address and by user."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

#: Tries that may fail within the time, of one address and of one user from wherever, and the seconds.
BY_ADDRESS, BY_USER, SECONDS = 10, 20, 300.0
#: Addresses and users remembered; those not heard of longest go first.
_REMEMBERED = 20_000


class Throttle:
    """Says when it is too early to try again.

    Args:
        monotonic: Seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failed: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def attempt(self, address: str, user: str) -> int:
        """Count a try; return 0, or the seconds to wait where there were too many, and this one is not made.

        It counts as failed until `succeeded`, so that many at the same time count each.
        """
        now = self._monotonic()
        with self._lock:
            wait = 0.0
            for key, limit in self._keys(address, user):
                times = self._failed.get(key, deque())
                while times and now - times[0] >= SECONDS:
                    times.popleft()
                if len(times) >= limit:
                    wait = max(wait, SECONDS - (now - times[0]))
            if wait > 0:
                return max(1, math.ceil(wait))
            for key, _ in self._keys(address, user):
                self._failed.setdefault(key, deque()).append(now)
                self._failed.move_to_end(key)
            while len(self._failed) > _REMEMBERED:
                self._failed.popitem(last=False)
            return 0

    def succeeded(self, address: str, user: str) -> None:
        """Take the last try of the address and the user back: it did not fail."""
        with self._lock:
            for key, _ in self._keys(address, user):
                if times := self._failed.get(key):
                    times.pop()

    @staticmethod
    def _keys(address: str, user: str) -> tuple[tuple[tuple[str, str], int], ...]:
        return (("address", _network(address)), BY_ADDRESS), (("user", user[:64]), BY_USER)


def _network(address: str) -> str:
    """An IPv6 address counts with its /64, which one machine has to itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((int(found), 64), strict=False))
