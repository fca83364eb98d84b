"""What becomes of a row after one call: the only place that decides on retries.

Pure: the outcome, the try's number and a source of randomness go in, a decision comes out.

outcome            get-methods               sends
Reply              Sent                      Sent
TooLate            Release                   Release
NotSent            Retry, at last Failed     Retry, at last Failed; of a probe Release
DeliveryUnknown    Retry, at last Failed     Uncertain; with on_unknown=retry Retry, at last Uncertain
CredentialsRefused HoldAccount               HoldAccount
ConfigError        HoldAccount               HoldAccount
Refused            Failed                    Failed
InvalidParameter   Failed                    Failed
anything else      Failed                    Uncertain

With on_unknown=reconcile an Uncertain row is read back, and `after_reading` decides. The list of a Reply is kept before
the row is called sent; where the database would not have it, `after_refusal` decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from afilsql.api.reply import Reply
from afilsql.delivery.reconcile import Verdict
from afilsql.errors import (
    ApiError,
    ConfigError,
    CredentialsRefused,
    DatabaseError,
    InvalidParameter,
    NotSent,
    Refused,
    TooLate,
)
from afilsql.outbox.records import OnUnknown

#: Backoff in seconds: the first ceiling, its growth per try, the highest ceiling, the longest a server may ask for.
BASE_SECONDS = 1.0
FACTOR = 2.0
CAP_SECONDS = 300.0
RETRY_AFTER_MAX_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Sent:
    """The API accepted the request."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again.

    Attributes:
        after: Seconds to wait first.
    """

    after: float


@dataclass(frozen=True, slots=True)
class Failed:
    """Repeating would not help, or has not: a person looks at it."""


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The message may have gone out.

    Attributes:
        look_in: Seconds until its conversation is read back; None leaves it to a person.
    """

    look_in: float | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Put it back, the try not counted: the account is closed, or the lease over, and it is not the row's fault."""


@dataclass(frozen=True, slots=True)
class HoldAccount:
    """Not the row's fault: hold the account, keep its rows."""


#: What a row carries when the answer brought neither a code nor an HTTP status.
_CODE_OF: dict[type[ApiError], str] = {
    NotSent: "NOT_SENT",
    Refused: "REFUSED",
    CredentialsRefused: "CREDENTIALS_REFUSED",
}

Decision = Sent | Retry | Failed | Uncertain | Release | HoldAccount


def decide(
    outcome: Reply | Exception,
    *,
    is_send: bool,
    attempt: int,
    max_attempts: int,
    on_unknown: OnUnknown,
    random: Callable[[], float],
    look_after: float = 15.0,
    probe: bool = False,
) -> Decision:
    """Decide what becomes of a row.

    Args:
        outcome: The call's answer or the exception it raised.
        is_send: True when repeating the call could send a second message.
        attempt: Number of the try that just ended, from 1.
        max_attempts: Tries the row may have.
        on_unknown: What a send does when nobody knows whether it went out.
        random: Returns numbers in [0, 1).
        look_after: Seconds until an uncertain send is read back.
        probe: The row tried a closed account.
    """
    uncertain = Uncertain(look_after if on_unknown == "reconcile" else None)
    match outcome:
        case Reply():
            return Sent()
        case CredentialsRefused() | ConfigError():
            return HoldAccount()
        case Refused() | InvalidParameter():
            return Failed()
        case TooLate():
            return Release()
        case NotSent() if probe:
            return Release()
        case NotSent():
            exhausted: Decision = Failed()
        case ApiError() if not is_send:
            exhausted = Failed()
        case ApiError() if on_unknown == "retry":
            exhausted = uncertain
        case ApiError():
            return uncertain
        case _:
            return uncertain if is_send else Failed()
    if attempt >= max_attempts:
        return exhausted
    return Retry(wait(attempt, outcome.retry_after, random))


def after_reading(verdict: Verdict, *, attempt: int, max_attempts: int, look_in: float | None) -> Decision:
    """Decide what becomes of an uncertain send once its conversation has been read.

    Args:
        verdict: What the conversation says.
        attempt: Number of the try in doubt, from 1.
        max_attempts: Tries the row may have.
        look_in: Seconds until the next look; None when there is none.
    """
    match verdict.outcome:
        case "arrived":
            return Sent()
        case "absent":
            return Retry(0.0) if attempt < max_attempts else Failed()
        case _:
            return Uncertain(look_in)


def after_refusal(attempt: int, max_attempts: int, random: Callable[[], float]) -> Decision:
    """Decide what becomes of a call whose answer the database would not keep: it is asked for again, for a while."""
    return Retry(delay(attempt, random)) if attempt < max_attempts else Failed()


def holds_account(outcome: Reply | Exception) -> bool:
    """Return True when the account is to be held: its credentials are missing or refused."""
    return isinstance(outcome, CredentialsRefused | ConfigError)


def is_unknown(outcome: Reply | Exception) -> bool:
    """Return True when nobody can say whether the call took effect."""
    return not isinstance(outcome, Reply | Refused | NotSent | ConfigError | InvalidParameter)


def is_healthy(outcome: Reply | Exception) -> bool | None:
    """Return whether the API and the account work, as far as this outcome shows; None when it shows nothing."""
    match outcome:
        case Reply():
            return True
        case CredentialsRefused() | ConfigError():
            return False
        case Refused():
            # Without a code of the API's it is hardly the API that answers: a wrong address, a proxy.
            return not (outcome.code or "").startswith("HTTP_")
        case TooLate():
            return None
        case NotSent() if outcome.status == 429:  # it works, and says when
            return None
        case ApiError():
            return False
        case _:
            return None


def wait(attempt: int, retry_after: float | None, random: Callable[[], float]) -> float:
    """Return the seconds to wait: the server's hint, up to an hour, is the least."""
    hint = min(max(retry_after or 0.0, 0.0), RETRY_AFTER_MAX_SECONDS)
    return max(hint, delay(attempt, random))


def rest(outcome: Reply | Exception) -> float:
    """Return the seconds that the server wants the account to rest after too many requests; 0 of anything else."""
    if not isinstance(outcome, ApiError) or outcome.status != 429:
        return 0.0
    return min(max(outcome.retry_after or 0.0, 0.0), RETRY_AFTER_MAX_SECONDS)


def delay(attempt: int, random: Callable[[], float]) -> float:
    """Return a backoff in seconds with full jitter: anything from 0 up to the try's ceiling."""
    return random() * ceiling(attempt)


def ceiling(attempt: int) -> float:
    """Return the longest backoff in seconds after this try: 1, 2, 4, … 300."""
    # The exponent is bounded, as a float overflows at 2**1024 and attempts are the database's number.
    return min(CAP_SECONDS, BASE_SECONDS * FACTOR ** min(max(attempt - 1, 0), 64))


def code_of(outcome: Reply | Exception) -> str | None:
    """Return the code a row carries for this outcome: the API's where there is one, else ours; None for success."""
    match outcome:
        case Reply():
            return None
        case ApiError():
            if outcome.code:
                return outcome.code
            return f"HTTP_{outcome.status}" if outcome.status else _CODE_OF.get(type(outcome), "DELIVERY_UNKNOWN")
        case ConfigError():
            return "ACCOUNT_NOT_CONFIGURED"
        case InvalidParameter():
            return outcome.code
        case _:
            return "INTERNAL"


def detail_of(outcome: Reply | Exception) -> str | None:
    """Return one line for a person, None for success.

    Of an exception that is not ours only the type is told: its text could hold anything, credentials too.
    """
    match outcome:
        case Reply():
            return None
        case ApiError() | ConfigError() | InvalidParameter():
            return one_line(str(outcome))
        case _:
            return f"unexpected {type(outcome).__name__} during the call; please report it as a defect of afilsql"


def database_reason(error: Exception) -> str:
    """Return an error's text if it is ours; of others only the type, since a driver's text may hold anything."""
    return one_line(str(error)) if isinstance(error, DatabaseError) else f"unexpected {type(error).__name__}"


def one_line(text: str, limit: int = 400) -> str:
    """Return the text with control characters replaced by spaces, cut to `limit` characters."""
    line = "".join(c if c.isprintable() else " " for c in text).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"
