"""From an HTTP answer to a Reply or the error that says what became of the request. Pure.

The order of the questions matters: a server that turned the request away (429, 503) did nothing; a code
of the API's is its own word on the request; only then does the HTTP status speak.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote, quote_plus

from afilsql.api.methods import ERROR_CODES
from afilsql.api.reply import Reply, rows_from
from afilsql.errors import ApiError, CredentialsRefused, DeliveryUnknown, NotSent, Refused

MAX_RETRY_AFTER = 3600.0
BODY_CHARS = 1024
CODE_CHARS = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read.

    Attributes:
        status: HTTP status.
        headers: Header names (any case, when the mapping ignores it) to values.
        body: The decoded body, as far as it came.
        failure: Why the body is not complete, None when it is.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: DeliveryUnknown | None = None


def masker(secret: str) -> Callable[[str], str]:
    """Return a function that masks every spelling of a secret in a text."""
    if not secret:
        return lambda text: text
    escaped = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    spellings = {secret, quote(secret, safe=""), quote_plus(secret), quote(secret), html.escape(secret), *escaped}
    spellings |= {s.replace("/", "\\/") for s in escaped}
    pattern = re.compile("|".join(map(re.escape, sorted(spellings, key=len, reverse=True))), re.IGNORECASE)
    return lambda text: pattern.sub("***", text)


def understand(method: str, answer: Answer, *, mask: Callable[[str], str], now: datetime) -> Reply:
    """Return the Reply an answer amounts to.

    Args:
        method: Name of the method called.
        answer: What came.
        mask: Removes the account's secret from a text.
        now: The time (UTC), for a Retry-After given as a date.

    Raises:
        NotSent: 429 or 503, a redirect, or a proxy that wants a login.
        CredentialsRefused: A code that concerns the account, or 401 or 403.
        Refused: Any other code of the API, or another 4xx.
        DeliveryUnknown: Anything else that is not a well-formed success.
    """
    status = answer.status
    text = _storable(answer.body.decode("utf-8-sig", "replace"))

    def error(kind: type[ApiError], code: str, message: str) -> ApiError:
        return kind(message, status=status, code=code, body=mask(text)[:BODY_CHARS])

    turned_away = _turned_away(answer, error, now)
    if turned_away is not None:
        raise turned_away
    if answer.failure is not None:
        failure = answer.failure
        raise error(DeliveryUnknown, failure.code or "CONNECTION_BROKEN", str(failure))

    payload, fault = _parse(answer.body)
    if isinstance(payload, dict):
        refused = _refused(method, status, payload, error, mask)
        if refused is not None:
            raise refused
    if not 200 <= status < 300:
        raise _by_status(method, status, error)
    if fault:
        raise error(DeliveryUnknown, "NOT_JSON", f"{method}: the API answered HTTP {status}, but {fault}")
    if not isinstance(payload, dict) or str(payload.get("status")).strip().lower() != "success":
        raise error(
            DeliveryUnknown,
            "BAD_SHAPE",
            f"{method}: the API's answer has neither the status success nor an error code",
        )
    try:
        rows = rows_from(method, payload.get("result"))
    except ValueError as wrong:
        message = f"{method}: the API's answer has the wrong shape: {wrong}"
    else:
        return Reply(method=method, http_status=status, rows=rows, text=mask(text))
    raise error(DeliveryUnknown, "BAD_SHAPE", message)


_MakeError = Callable[[type[ApiError], str, str], ApiError]


def _turned_away(answer: Answer, error: _MakeError, now: datetime) -> ApiError | None:
    status = answer.status
    if status in (429, 503):
        meaning = "too many requests" if status == 429 else "service unavailable"
        away = error(NotSent, f"HTTP_{status}", f"the API turned the request away: HTTP {status}, {meaning}")
        away.retry_after = retry_after(answer.headers.get("Retry-After"), now)
        return away
    if status in (301, 302, 307, 308):
        return error(
            NotSent,
            "REDIRECTED",
            f"the API's address answers with a redirect (HTTP {status}), which is not followed because the request "
            "carries the password: set AFILSQL_API_URL to the API's present address",
        )
    if status == 407:
        return error(
            NotSent, "HTTP_407", "the proxy wants a login (HTTP 407): correct HTTPS_PROXY in the worker's environment"
        )
    return None


#: In JSON: an escaped backslash, a whole pair of surrogates, half of one, NUL.
_ESCAPE = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u(?:[dD][89a-fA-F][0-9a-fA-F]{2}|0000))"
)


def _storable(text: str) -> str:
    """Replace what no database keeps, and for which some refuse the whole answer: NUL and halves of surrogate pairs."""
    return _ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], text.replace("\x00", "\ufffd"))


def _parse(body: bytes) -> tuple[object, str]:
    """Return the JSON value, and what is wrong with the body ("" when nothing is)."""
    try:
        return json.loads(_storable(body.decode("utf-8-sig"))), ""
    except UnicodeDecodeError:
        return None, "its body is not UTF-8"
    except (ValueError, RecursionError):
        return None, "its body is not JSON: is AFILSQL_API_URL the API's address?" if body.strip() else "nothing in it"


def _refused(
    method: str, status: int, payload: dict[str, object], error: _MakeError, mask: Callable[[str], str]
) -> ApiError | None:
    code = payload.get("error")
    if str(payload.get("status")).strip().lower() != "error" or not isinstance(code, (str, int)) or not str(code):
        return None
    name = mask(str(code).strip())[:CODE_CHARS]
    known = ERROR_CODES.get(name)
    if known is None and (status >= 500 or status == 408):
        return None  # a gateway's own JSON says nothing about what happened behind it
    meaning = known.meaning if known else "A code afilsql does not know."
    if (known and known.handling == "hold account") or (known is None and status in (401, 403)):
        return error(
            CredentialsRefused,
            name,
            f"{method}: the API refused the account's credentials: {name}. {meaning} "
            "Correct the account's user and password in the worker's settings, then release the account",
        )
    return error(Refused, name, f"{method}: the API refused the request: {name}. {meaning}")


def _by_status(method: str, status: int, error: _MakeError) -> ApiError:
    code = f"HTTP_{status}"
    if status in (401, 403):
        return error(
            CredentialsRefused,
            code,
            f"{method}: the API refused the account (HTTP {status}): check its user, password and allowed IP addresses",
        )
    if 400 <= status < 500 and status != 408:
        hint = ": is AFILSQL_API_URL the API's address?" if status in (404, 405, 410) else ""
        return error(Refused, code, f"{method}: the API refused the request with HTTP {status}{hint}")
    return error(
        DeliveryUnknown, code, f"{method}: the API answered HTTP {status}; the request may or may not have taken effect"
    )


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds a Retry-After header asks for, 0 to 3600, or None when it cannot be read.

    Args:
        value: Seconds, or an HTTP date.
        now: The time (UTC).
    """
    if value is None:
        return None
    text = value.strip()
    try:
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text):
            seconds = float(text)
        else:
            when = parsedate_to_datetime(text)
            seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
