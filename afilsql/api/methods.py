"""The contract of the chat API: methods, parameters, values, error codes.

The one source of truth. The client checks calls against it, the sandbox answers by it, and tests
hold the T-SQL procedures and the rows of afil.error_code to it. Source of the facts: the vendor's
document "API della chat web per SQL Server".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from afilsql.api.fileurl import fault as url_fault
from afilsql.errors import InvalidParameter

PLATFORMS = ("webchat", "whatsapp", "telegram", "operator")
FILE_TYPES = ("image", "video", "audio", "voice", "document", "contact")

#: Longest accepted value of each parameter, in UTF-16 units as T-SQL counts them (an emoji is two).
#: The vendor names no limits for the POST form; these are the widths of the columns.
MESSAGE_MAX_LENGTH = 1_048_576
MAX_LENGTH: Mapping[str, int] = {
    "platform": 20,
    "platformid": 100,
    "destination": 200,
    "message": MESSAGE_MAX_LENGTH,
    "type": 20,
    "fileurl": 2000,
    "thumburl": 2000,
}
ALLOWED: Mapping[str, tuple[str, ...]] = {"platform": PLATFORMS, "type": FILE_TYPES}

ListKind = Literal["channels", "chats", "messages"]


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the class `chat`.

    Attributes:
        name: As the API calls it.
        required: Parameters the API insists on.
        optional: Parameters it also takes.
        returns: What the answer's list holds; None for a send, whose answer holds nothing more.
    """

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    returns: ListKind | None = None

    @property
    def is_send(self) -> bool:
        """True when repeating the call would send a second message."""
        return self.returns is None

    @property
    def parameters(self) -> tuple[str, ...]:
        return self.required + self.optional


_CHAT = ("platform", "platformid", "destination")

METHODS: Mapping[str, Method] = {
    m.name: m
    for m in (
        Method("getchatchannels", (), returns="channels"),
        Method("sendmessage", (*_CHAT, "message")),
        Method("sendfile", (*_CHAT, "type", "fileurl"), ("thumburl", "message")),
        Method("getchats", ("platform", "platformid"), returns="chats"),
        Method("getmessages", _CHAT, returns="messages"),
        Method("getunreadmessages", _CHAT, returns="messages"),
    )
}

Handling = Literal["hold account", "fail row"]


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One error code: what it means, and what the worker does with the row."""

    code: str
    meaning: str
    handling: Handling
    methods: tuple[str, ...] = tuple(METHODS)


_FILE = ("sendfile",)
ERROR_CODES: Mapping[str, ErrorCode] = {
    e.code: e
    for e in (
        ErrorCode("MISSING_USER", "The account's user is missing.", "hold account"),
        ErrorCode("MISSING_PASSWORD", "The account's password is missing.", "hold account"),
        ErrorCode("INCORRECT_USER_PASSWORD", "User or password is wrong.", "hold account"),
        ErrorCode("MISSING_CLASS", "The request names no class.", "fail row"),
        ErrorCode("MISSING_METHOD", "The request names no method.", "fail row"),
        ErrorCode("INCORRECT_CLASS", "The request names an unknown class.", "fail row"),
        ErrorCode("INCORRECT_METHOD", "The request names an unknown method.", "fail row"),
        ErrorCode("MISSING_COMPULSORY_PARAM", "A required parameter is missing.", "fail row"),
        ErrorCode(
            "CHANNEL_NOT_FOUND",
            "The account has no such channel.",
            "fail row",
            tuple(m for m in METHODS if m != "getchatchannels"),
        ),
        ErrorCode(
            "CHAT_NOT_FOUND",
            "The channel has no such chat.",
            "fail row",
            ("sendfile", "getchats", "getmessages", "getunreadmessages"),
        ),
        ErrorCode("INCORRECT_FILETYPE", "The file type is not one of the allowed.", "fail row", _FILE),
        ErrorCode("INCORRECT_FILEURL", "The file's URL is not valid.", "fail row", _FILE),
        ErrorCode("INCORRECT_THUMBURL", "The thumbnail's URL is not valid.", "fail row", _FILE),
    )
}


def check(method: str, parameters: Mapping[str, str | None], *, allow_private_urls: bool = False) -> dict[str, str]:
    """Return the parameters to send, empty ones left out.

    Args:
        method: Name of one of METHODS.
        parameters: Parameter names to values; None and "" count as not given.
        allow_private_urls: Let the URL of a file point to a private place.

    Raises:
        InvalidParameter: An unknown method or parameter, a required one missing, a value too long,
            not among the allowed ones, with characters no database column or URL can hold, or the URL of a file
            that is none, holds credentials or points to a private place.
    """
    spec = METHODS.get(method)
    if spec is None:
        raise InvalidParameter(f"method '{method}' is not one of {', '.join(METHODS)}")
    given = {k: v for k, v in parameters.items() if v is not None and v != ""}
    for name in given:
        if name not in spec.parameters:
            raise InvalidParameter(f"{method} takes no parameter '{name}'; it takes {', '.join(spec.parameters)}")
    for name in spec.required:
        if name not in given or not given[name].strip():
            raise InvalidParameter(f"{method} needs @{name}: give it a value")
    for name, value in given.items():
        allowed = ALLOWED.get(name)
        if allowed and value not in allowed:
            raise InvalidParameter(f"@{name} '{value}' is not one of {', '.join(allowed)}")
        if "\x00" in value:
            raise InvalidParameter(f"@{name} holds a NUL character, which cannot be stored or sent: remove it")
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise InvalidParameter(
                f"@{name} holds half a surrogate pair, which is not text: repair the source's encoding"
            )
        length = len(value.encode("utf-16-le")) // 2
        if length > MAX_LENGTH[name]:
            raise InvalidParameter(f"@{name} is {length} characters long; at most {MAX_LENGTH[name]} are allowed")
        if name in ("fileurl", "thumburl") and (fault := url_fault(value, allow_private=allow_private_urls)):
            raise InvalidParameter(f"@{name} {fault}", code=f"INCORRECT_{name.upper()}")
    return given
