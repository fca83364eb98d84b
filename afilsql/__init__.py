"""Chat messages from a database: a transactional outbox and a worker for the Afilnet chat API.

    from afilsql import Request, open_outbox

    with open_outbox("sqlite:///afilsql.db") as outbox:
        outbox.enqueue(Request("sendmessage", {"platform": "whatsapp", ...}))
        outbox.enqueue(Request(...), connection=session)  # in a transaction of your own

Names are imported when first used, so that the command line starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afilsql.api.client import AfilnetClient
    from afilsql.api.reply import Channel, Chat, Message, Reply
    from afilsql.config import Settings, load_settings
    from afilsql.delivery.worker import Worker
    from afilsql.errors import (
        AfilsqlError,
        ApiError,
        ConfigError,
        CredentialsRefused,
        DatabaseError,
        DatabaseUnavailable,
        DeliveryUnknown,
        DriverMissing,
        InvalidParameter,
        LeaseLost,
        NotSent,
        QuotaExceeded,
        Refused,
        RequestNotFound,
        SchemaOutOfDate,
    )
    from afilsql.outbox import open_outbox
    from afilsql.outbox.base import Outbox
    from afilsql.outbox.records import Account, Attempt, Entry, Item, ItemDetail, QueueStatus, Request, Subscription
    from afilsql.outbox.wait import wait_for
    from afilsql.outbox.wait_async import wait_for_async

    __version__: str

__all__ = [
    "Account",
    "AfilnetClient",
    "AfilsqlError",
    "ApiError",
    "Attempt",
    "Channel",
    "Chat",
    "ConfigError",
    "CredentialsRefused",
    "DatabaseError",
    "DatabaseUnavailable",
    "DeliveryUnknown",
    "DriverMissing",
    "Entry",
    "InvalidParameter",
    "Item",
    "ItemDetail",
    "LeaseLost",
    "Message",
    "NotSent",
    "Outbox",
    "QueueStatus",
    "QuotaExceeded",
    "Refused",
    "Reply",
    "Request",
    "RequestNotFound",
    "SchemaOutOfDate",
    "Settings",
    "Subscription",
    "Worker",
    "__version__",
    "load_settings",
    "open_outbox",
    "wait_for",
    "wait_for_async",
]

_HOME = {
    "Account": "afilsql.outbox.records",
    "AfilnetClient": "afilsql.api.client",
    "Attempt": "afilsql.outbox.records",
    "Channel": "afilsql.api.reply",
    "Chat": "afilsql.api.reply",
    "Entry": "afilsql.outbox.records",
    "Item": "afilsql.outbox.records",
    "ItemDetail": "afilsql.outbox.records",
    "Message": "afilsql.api.reply",
    "Outbox": "afilsql.outbox.base",
    "QueueStatus": "afilsql.outbox.records",
    "Reply": "afilsql.api.reply",
    "Request": "afilsql.outbox.records",
    "Settings": "afilsql.config",
    "Subscription": "afilsql.outbox.records",
    "Worker": "afilsql.delivery.worker",
    "load_settings": "afilsql.config",
    "open_outbox": "afilsql.outbox",
    "wait_for": "afilsql.outbox.wait",
    "wait_for_async": "afilsql.outbox.wait_async",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("afilsql")
        except PackageNotFoundError:  # a checkout that was never installed
            return "0+unknown"
    if name not in __all__:
        raise AttributeError(f"module 'afilsql' has no attribute '{name}'")
    return getattr(import_module(_HOME.get(name, "afilsql.errors")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
