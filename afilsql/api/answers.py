"""From an HTTP answer to a Reply or the error that says what became of the request. Pure.

The order of the questions matters: a server that turned the request away (429, 503) did nothing; a code
of the API's is its own word on the request; only then does the HTTP status speak.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, quote_plus

from afilsql.api.methods import ERROR_CODES
from afilsql.api.reply import Reply, Row, rows_from
from afilsql.errors import ApiError, CredentialsRefused, DeliveryUnknown, NotSent, Refused

MAX_RETRY_AFTER = 3600.0
BODY_CHARS = 1024
CODE_CHARS = 100

#: Characters from which a secret is masked wherever it occurs. A shorter one occurs by chance ("1234" in an id) and is
#: masked where it stands alone, as an echo does.
LONG_SECRET = 6


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read. What came is not shown: it may say a secret back, and be one where a token was asked for.

    Attributes:
        status: HTTP status.
        headers: Header names (any case, when the mapping ignores it) to values.
        body: The decoded body, as far as it came.
        failure: Why the body is not complete, None when it is.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    failure: DeliveryUnknown | None = None


class Mask:
    """Masks every spelling of secrets in a text: plain, in a URL, JSON, HTML and base64.

    Args:
        secrets: What must not be seen; "" masks nothing.
    """

    def __init__(self, *secrets: str) -> None:
        patterns = [(len(spelled), pattern) for secret in secrets if secret for spelled, pattern in _patterns(secret)]
        # The longest first: it may begin with another one.
        patterns.sort(key=lambda found: found[0], reverse=True)
        self._pattern = re.compile("|".join(p for _, p in patterns), re.IGNORECASE) if patterns else None
        self._reach = patterns[0][0] if patterns else 0

    def __call__(self, text: str) -> str:
        """Return the text with each spelling replaced by ***."""
        return self._pattern.sub("***", text) if self._pattern else text

    def beginning(self, text: str, limit: int) -> str:
        """Return at most `limit` characters of the masked text, looking at little more of it than that."""
        if len(text) <= limit + self._reach:
            return self(text)[:limit]
        # A spelling cut in two at the end would not be recognized, so what could be half of one goes.
        masked = self(text[: limit + self._reach])
        return masked[: max(0, min(limit, len(masked) - self._reach))]


def _patterns(secret: str) -> Iterator[tuple[str, str]]:
    """Yield each spelling of a secret with the pattern that finds it."""
    # A page inside JSON is escaped twice, and a server that stores the list unescapes it again.
    # XML need not escape quotes, and names the apostrophe otherwise.
    named = html.escape(secret).replace("&#x27;", "&apos;")
    plain = (secret, html.escape(secret), html.escape(secret, quote=False), named)
    escaped = {json.dumps(text, ensure_ascii=ascii)[1:-1] for text in plain for ascii in (True, False)}
    spellings = {*plain, quote(secret, safe=""), quote_plus(secret), quote(secret), *escaped}
    spellings |= {s.replace("/", "\\/") for s in escaped} | _in_base64(secret.encode())
    alone = len(secret) < LONG_SECRET
    for spelled in spellings:
        yield spelled, _alone(spelled) if alone else re.escape(spelled)


def _alone(spelling: str) -> str:
    """Return a pattern for a spelling that is not part of a longer word or number."""
    before = r"(?<![^\W_])" if spelling[:1].isalnum() else ""
    after = r"(?![^\W_])" if spelling[-1:].isalnum() else ""
    return before + re.escape(spelling) + after


def _in_base64(secret: bytes) -> set[str]:
    """How a secret looks inside base64 of something longer, such as "user:password", wherever it begins there.

    Characters that depend on the neighbours too are left out; of a secret too short to be told from chance, nothing.
    """
    found = set()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + secret).decode().rstrip("=")
        whole = text[(before * 8 + 5) // 6 : (before + len(secret)) * 8 // 6]
        if len(whole) >= 8:
            found |= {whole, whole.replace("+", "-").replace("/", "_")}
    return found


def _masked(row: Row, mask: Callable[[str], str]) -> Row:
    texts: dict[str, Any] = {name: mask(value) for name, value in asdict(row).items() if isinstance(value, str)}
    return replace(row, **texts)


def understand(
    method: str,
    answer: Answer,
    *,
    mask: Mask,
    mask_rows: Callable[[str], str] | None = None,
    now: datetime,
) -> Reply:
    """Return the Reply an answer amounts to.

    Args:
        method: Name of the method called.
        answer: What came.
        mask: Removes the account's secret from a text.
        mask_rows: The same for the values of rows; None is `mask`.
        now: The time (UTC), for a Retry-After given as a date.

    Raises:
        NotSent: 429 or 503, a redirect for good, or a proxy that wants a login.
        CredentialsRefused: A code that concerns the account, or 401 or 403.
        Refused: Any other code of the API, or another 4xx.
        DeliveryUnknown: Anything else that is not a well-formed success.
    """
    outcome = _outcome(method, answer, mask, mask_rows or mask, now)
    if isinstance(outcome, ApiError):
        raise outcome
    return outcome


def _outcome(
    method: str, answer: Answer, mask: Mask, mask_rows: Callable[[str], str], now: datetime
) -> Reply | ApiError:
    # It raises nothing: what it has in its hands is not masked, and would be in the traceback of what it raised.
    status = answer.status
    shown = mask.beginning(_storable(answer.body.decode("utf-8-sig", "replace")), BODY_CHARS)

    def error(kind: type[ApiError], code: str, message: str) -> ApiError:
        return kind(message, status=status, code=code, body=shown)

    turned_away = _turned_away(answer, error, now)
    if turned_away is not None:
        return turned_away
    if answer.failure is not None:
        failure = answer.failure
        return error(DeliveryUnknown, failure.code or "CONNECTION_BROKEN", str(failure))

    payload, fault = _parse(answer.body)
    if isinstance(payload, dict):
        refused = _refused(method, status, payload, error, mask)
        if refused is not None:
            return refused
    if not 200 <= status < 300:
        return _by_status(method, status, error)
    if fault:
        return error(DeliveryUnknown, "NOT_JSON", f"{method}: the API answered HTTP {status}, but {fault}")
    if not isinstance(payload, dict) or str(payload.get("status")).strip().lower() != "success":
        return error(
            DeliveryUnknown,
            "BAD_SHAPE",
            f"{method}: the API's answer has neither the status success nor an error code",
        )
    try:
        rows = rows_from(method, payload.get("result"))
    except ValueError as wrong:
        message = f"{method}: the API's answer has the wrong shape: {wrong}"
    else:
        rows = tuple(_masked(row, mask_rows) for row in rows)
        return Reply(
            method=method, http_status=status, rows=rows, text=mask(_storable(answer.body.decode("utf-8-sig")))
        )
    return error(DeliveryUnknown, "BAD_SHAPE", message)


_MakeError = Callable[[type[ApiError], str, str], ApiError]


def _turned_away(answer: Answer, error: _MakeError, now: datetime) -> ApiError | None:
    status = answer.status
    if status in (429, 503):
        meaning = "too many requests" if status == 429 else "service unavailable"
        away = error(NotSent, f"HTTP_{status}", f"the API turned the request away: HTTP {status}, {meaning}")
        away.retry_after = retry_after(answer.headers.get("Retry-After"), now)
        return away
    if status in (301, 302, 303, 307, 308):
        # 302 and 303 are also how a page that has done its work says where to look next.
        kind = DeliveryUnknown if status in (302, 303) else NotSent
        return error(
            kind,
            "REDIRECTED",
            f"the API's address answers with a redirect (HTTP {status}), which is not followed because the request "
            "carries the password: set AFILSQL_API_URL to the API's present address",
        )
    if status == 407:
        return error(NotSent, "HTTP_407", "the proxy wants a login (HTTP 407): correct AFILSQL_PROXY, or HTTPS_PROXY")
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


def _refused(method: str, status: int, payload: dict[str, object], error: _MakeError, mask: Mask) -> ApiError | None:
    code = payload.get("error")
    if str(payload.get("status")).strip().lower() != "error" or not isinstance(code, (str, int)) or not str(code):
        return None
    name = str(code).strip()
    known = ERROR_CODES.get(name)
    if known is None:  # a known one tells no secret, and must be known although the password is a word of it
        name = mask.beginning(name, CODE_CHARS)
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
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
            seconds = float(text)
        else:
            when = parsedate_to_datetime(text)
            seconds = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
