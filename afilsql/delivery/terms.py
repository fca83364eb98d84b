"""The terms a worker works under: what may change while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from afilsql.delivery.caller import ClientFor, ReadBackSettings
from afilsql.delivery.limits import Breaker, Rate
from afilsql.outbox.records import Account, OnUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Arguments of `Worker` that `Worker.adopt` takes anew; they are described there."""

    client_for: ClientFor
    concurrency: int
    grace_seconds: float
    on_unknown: OnUnknown
    read_back: ReadBackSettings
    share: int | None
    rates: Mapping[str, Rate]
    breaker: Breaker
    accounts: Sequence[Account]
