"""Delivery: take rows from the outbox, call the API, hand the answers back."""

from __future__ import annotations

from afilsql.delivery.events import Event
from afilsql.delivery.handover import Totals
from afilsql.delivery.policy import Decision, decide
from afilsql.delivery.worker import Worker

__all__ = ["Decision", "Event", "Totals", "Worker", "decide"]
