"""What the simulated API remembers, and how it answers a call. Pure: no network, no waiting.

Checks run in the order of CHECK_ORDER, so a call with two faults always meets the same code.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from afilsql.api.methods import FILE_TYPES, MAX_LENGTH, METHODS, Method
from afilsql.errors import ConfigError

#: Messages kept of each chat; older ones are forgotten.
HISTORY = 1_000

#: (platform, platformid, name) of the channels every account has.
DEFAULT_CHANNELS = (
    ("whatsapp", "100", "Sandbox WhatsApp"),
    ("telegram", "200", "Sandbox Telegram"),
    ("webchat", "300", "Sandbox web chat"),
    ("operator", "400", "Sandbox operators"),
)

#: Every channel starts with one chat, from this destination, holding one unread message.
SEEDED_DESTINATION = "34600000000"

CHECK_ORDER = (
    "MISSING_USER",
    "MISSING_PASSWORD",
    "INCORRECT_USER_PASSWORD",
    "MISSING_CLASS",
    "INCORRECT_CLASS",
    "MISSING_METHOD",
    "INCORRECT_METHOD",
    "MISSING_COMPULSORY_PARAM",
    "CHANNEL_NOT_FOUND",
    "CHAT_NOT_FOUND",
    "INCORRECT_FILETYPE",
    "INCORRECT_FILEURL",
    "INCORRECT_THUMBURL",
)

Clock = Callable[[], datetime]
_Channel = tuple[str, str]
_ChatKey = tuple[str, str, str]


def utcnow() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class _Mailbox:
    """One account's chats."""

    chats: dict[_ChatKey, deque[dict[str, Any]]] = field(default_factory=dict)


class State:
    """Accounts, channels, chats and messages; safe to call from any thread.

    Args:
        accounts: Users to passwords; None accepts any user with any password.
        channels: (platform, platformid, name) of each channel.
        clock: The time (UTC) messages are dated with.
        list_delay: Seconds until a message that was sent is listed.
        list_latest: Messages of a chat that getmessages lists at most, the latest; None lists all.
        newest_first: Lists of chats and messages begin with the newest.
        mark_read: getunreadmessages lists a message once. The contract does not say, so by default it stays unread.
        delivered_after, read_after: Seconds after which a message that was sent is `delivered` and `read`; None never.
        auto_customer: What a customer answers at once to each message sent; None is silence.

    Raises:
        ConfigError: A switch is out of range.
    """

    def __init__(
        self,
        accounts: Mapping[str, str] | None,
        channels: Iterable[tuple[str, str, str]] = DEFAULT_CHANNELS,
        clock: Clock = utcnow,
        *,
        list_delay: float = 0.0,
        list_latest: int | None = None,
        newest_first: bool = False,
        mark_read: bool = False,
        delivered_after: float | None = None,
        read_after: float | None = None,
        auto_customer: str | None = None,
    ) -> None:
        for name, seconds in (("delivered_after", delivered_after), ("read_after", read_after)):
            if seconds is not None and not seconds >= 0:
                raise ConfigError(f"the sandbox's {name} is {seconds}: give seconds from 0, or none")
        if auto_customer is not None and not auto_customer.strip():
            raise ConfigError("the sandbox's auto_customer has no text: give what the customer answers, or none")
        self._list_delay = timedelta(seconds=list_delay)
        self._list_latest = list_latest
        self._newest_first = newest_first
        self._mark_read = mark_read
        self._ages = (("read", read_after), ("delivered", delivered_after))
        self._auto_customer = auto_customer
        self._lock = threading.RLock()
        self._accounts = accounts
        self._channels: dict[_Channel, str] = {(platform, id): name for platform, id, name in channels}
        self._clock = clock
        self._mailboxes: dict[str, _Mailbox] = {}
        self._last_id = 0

    def may_log_in(self, user: str, password: str) -> bool:
        """Tell whether a user has this password."""
        return self._account_fault({"user": user, "password": password}) is None

    def refusal(self, parameters: Mapping[str, str], *, proven: bool = False) -> str | None:
        """Return the error code the call meets, None when it is accepted.

        Args:
            parameters: What the caller said.
            proven: The user needs no password.
        """
        with self._lock:
            return (
                self._account_fault(parameters, proven=proven)
                or _call_fault(parameters)
                or self._place_fault(parameters, METHODS[parameters["method"]])
                or (_file_fault(parameters) if parameters["method"] == "sendfile" else None)
            )

    def perform(self, parameters: Mapping[str, str]) -> list[dict[str, Any]] | None:
        """Carry out an accepted call; return its list, None for a send."""
        method = METHODS[parameters["method"]]
        with self._lock:
            if not method.is_send:
                rows = self._list(method, parameters)
                return rows[::-1] if self._newest_first and method.name != "getchatchannels" else rows
            chats, key = self._mailbox(parameters["user"]).chats, _chat_key(parameters)
            self._remember(chats, key, parameters.get("message") or parameters.get("fileurl", ""), sent=True)
            if self._auto_customer is not None:
                self._remember(chats, key, self._auto_customer, sent=False)
        return None

    def customer_says(self, user: str, platform: str, platformid: str, destination: str, text: str) -> str:
        """Have a customer write to an account's channel, in a new chat or one that is there; return the messageid.

        Raises:
            ValueError: There is no such account or channel, or the destination or text is missing or too long.
        """
        if not user or (self._accounts is not None and user not in self._accounts):
            raise ValueError(f"there is no user '{user}' here")
        if (platform, platformid) not in self._channels:
            known = ", ".join(f"{p} {id}" for p, id in self._channels)
            raise ValueError(f"there is no channel '{platform}' '{platformid}' here, only {known}")
        for name, value in (("destination", destination), ("message", text)):
            most = MAX_LENGTH[name]
            if not value.strip() or len(value) > most:
                raise ValueError(f"{name} is {len(value)} characters long: give 1 to {most}, not only spaces")
        with self._lock:
            return self._remember(self._mailbox(user).chats, (platform, platformid, destination), text, sent=False)

    def _list(self, method: Method, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        """The rows of a get-method, the oldest first."""
        if method.name == "getchatchannels":
            return [{"platformid": p[1], "platform": p[0], "name": name} for p, name in self._channels.items()]
        chats = self._mailbox(parameters["user"]).chats
        if method.name == "getchats":
            channel = (parameters["platform"], parameters["platformid"])
            latest = [history[-1] for key, history in chats.items() if key[:2] == channel]
            if self._newest_first:
                latest.sort(key=lambda message: int(message["messageid"]))
            return [self._public(message) for message in latest]
        history = chats[_chat_key(parameters)]
        if method.name == "getmessages":
            before = self._clock() - self._list_delay
            listed = [m for m in history if not m["sent"] or m["datetime"] <= before]
            most = len(listed) if self._list_latest is None else self._list_latest
            return [self._public(message) for message in listed[max(0, len(listed) - most) :]]
        unread = [message for message in history if message["unread"]]
        for message in unread:
            message["unread"] = not self._mark_read
        return [self._public(message, sent_as="issent") for message in unread]

    def _account_fault(self, parameters: Mapping[str, str], *, proven: bool = False) -> str | None:
        user, password = parameters.get("user"), parameters.get("password")
        if not user:
            return "MISSING_USER"
        if proven:
            return None if self._accounts is None or user in self._accounts else "INCORRECT_USER_PASSWORD"
        if not password:
            return "MISSING_PASSWORD"
        if self._accounts is not None and self._accounts.get(user) != password:
            return "INCORRECT_USER_PASSWORD"
        return None

    def _place_fault(self, parameters: Mapping[str, str], method: Method) -> str | None:
        if "platform" not in method.required:
            return None
        if (parameters["platform"], parameters["platformid"]) not in self._channels:
            return "CHANNEL_NOT_FOUND"
        needs_chat = method.name in ("sendfile", "getmessages", "getunreadmessages")
        if needs_chat and _chat_key(parameters) not in self._mailbox(parameters["user"]).chats:
            return "CHAT_NOT_FOUND"
        return None

    def _mailbox(self, user: str) -> _Mailbox:
        mailbox = self._mailboxes.get(user)
        if mailbox is None:
            mailbox = self._mailboxes[user] = _Mailbox()
            for platform, platformid in self._channels:
                key = (platform, platformid, SEEDED_DESTINATION)
                self._remember(mailbox.chats, key, "Hello, is my order on its way?", sent=False)
        return mailbox

    def _remember(self, chats: dict[_ChatKey, deque[dict[str, Any]]], key: _ChatKey, text: str, *, sent: bool) -> str:
        self._last_id += 1
        history = chats.get(key)
        if history is None:
            history = chats[key] = deque(maxlen=HISTORY)
        history.append(
            {
                "platformid": key[1],
                "platform": key[0],
                "message": text,
                "destination": key[2],
                "messageid": str(self._last_id),
                "sent": sent,
                "datetime": self._clock(),
                "unread": not sent,
            }
        )
        return str(self._last_id)

    def _public(self, message: Mapping[str, Any], *, sent_as: str = "sent") -> dict[str, Any]:
        """Return a message as the API shows it: eight fields, the date as text."""
        row = {name: value for name, value in message.items() if name not in ("unread", "sent", "datetime")}
        row[sent_as] = message["sent"]
        row["status"] = self._status(message)
        row["datetime"] = message["datetime"].strftime("%Y-%m-%d %H:%M:%S")
        return row

    def _status(self, message: Mapping[str, Any]) -> str:
        if not message["sent"]:
            return "received"
        age = (self._clock() - message["datetime"]).total_seconds()
        return next((status for status, seconds in self._ages if seconds is not None and age >= seconds), "sent")


def _call_fault(parameters: Mapping[str, str]) -> str | None:
    if not parameters.get("class"):
        return "MISSING_CLASS"
    if parameters["class"] != "chat":
        return "INCORRECT_CLASS"
    name = parameters.get("method")
    if not name:
        return "MISSING_METHOD"
    method = METHODS.get(name)
    if method is None:
        return "INCORRECT_METHOD"
    if any(not parameters.get(p) for p in method.required):
        return "MISSING_COMPULSORY_PARAM"
    return None


def _file_fault(parameters: Mapping[str, str]) -> str | None:
    if parameters["type"] not in FILE_TYPES:
        return "INCORRECT_FILETYPE"
    if not _is_url(parameters["fileurl"]):
        return "INCORRECT_FILEURL"
    if parameters.get("thumburl") and not _is_url(parameters["thumburl"]):
        return "INCORRECT_THUMBURL"
    return None


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _chat_key(parameters: Mapping[str, str]) -> _ChatKey:
    return parameters["platform"], parameters["platformid"], parameters["destination"]
