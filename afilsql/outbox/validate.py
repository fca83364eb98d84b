"""Check a request before anything is written: the same rules as afil.request_fault, one for all implementations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from afilsql.api import methods
from afilsql.errors import InvalidParameter
from afilsql.outbox.records import ON_UNKNOWN, Account, Request

#: Of the known accounts a refusal names so many.
_NAMED = 10


def validate(request: Request, *, allow_private_urls: bool = False) -> Request:
    """Return the request with its empty parameters left out.

    Args:
        request: What a caller wants done.
        allow_private_urls: Let the URL of a file point to a private place.

    Raises:
        InvalidParameter: A parameter is missing, too long or not allowed; the message names it.
    """
    parameters = methods.check(request.method, request.parameters, allow_private_urls=allow_private_urls)
    if not 1 <= len(request.account) <= 128 or not request.account.strip():
        raise InvalidParameter("@account must be the name of an account, 1 to 128 characters long")
    if not 0 <= request.priority <= 9:
        raise InvalidParameter(f"@priority {request.priority} is not between 0 (first) and 9 (last)")
    if request.dedup_key is not None and not 1 <= len(request.dedup_key) <= 200:
        raise InvalidParameter("@dedup_key must be 1 to 200 characters long, or left out")
    if request.max_attempts is not None and not 1 <= request.max_attempts <= 100:
        raise InvalidParameter(f"@max_attempts {request.max_attempts} is not between 1 and 100")
    if request.send_at is not None and request.send_at.tzinfo is None:
        raise InvalidParameter("@send_at has no time zone: give it one, for example +00:00")
    return replace(request, parameters=parameters)


def validate_all(requests: list[Request] | tuple[Request, ...], *, allow_private_urls: bool = False) -> list[Request]:
    """Check many; the message names the first bad one as `request N`, counted from 1.

    Raises:
        InvalidParameter: One of them is not allowed.
    """
    checked = []
    for n, request in enumerate(requests, start=1):
        try:
            checked.append(validate(request, allow_private_urls=allow_private_urls))
        except InvalidParameter as e:
            raise InvalidParameter(f"request {n}: {e}", code=e.code) from None
    return checked


@contextmanager
def unnumbered() -> Iterator[None]:
    """Take the number from the refusal of a request that was written alone."""
    try:
        yield
    except InvalidParameter as e:
        raise InvalidParameter(str(e).removeprefix("request 1: "), code=e.code) from None


def account_fault(known: Sequence[Account], account: str, platform: str | None) -> str | None:
    """Return what is wrong with an account and a platform of it; None when nothing is, or no account is known.

    The twin of sql/functions/account_check.sql.
    """
    found = next((a for a in known if a.name == account), None)
    if found is None and known:
        names = sorted(a.name for a in known)
        named = ", ".join((*names[:_NAMED], "…") if len(names) > _NAMED else names)
        return (
            f"@account '{account}' is not known to any worker (known: {named}): correct it, or add it to the worker's "
            "settings and start the worker"
        )
    if found is None or platform is None or not found.platforms or platform in found.platforms:
        return None
    return (
        f"@platform '{platform}' is not one of the account '{account}', which has {','.join(found.platforms)}: use "
        "another account, or add it to this one's platforms in the worker's settings and start the worker"
    )


def validate_subscription(
    platform: str, platformid: str, destination: str | None, *, account: str, every_seconds: int
) -> None:
    """Raise InvalidParameter for what afil.subscribe would refuse."""
    parameters = {"platform": platform, "platformid": platformid, "destination": destination}
    validate(Request("getmessages" if destination else "getchats", parameters, account=account))
    if not 5 <= every_seconds <= 86400:
        raise InvalidParameter(f"@every_seconds {every_seconds} is not between 5 and 86400")


def validate_exchange(worker: str, *, take: int, lease_seconds: int, on_unknown: str, room: int | None) -> None:
    """Raise InvalidParameter for what afil.exchange would refuse."""
    if not 1 <= len(worker) <= 128:
        raise InvalidParameter("@worker must be the worker's name, 1 to 128 characters long")
    if not 0 <= take <= 500:
        raise InvalidParameter(f"@take {take} is not between 0 and 500")
    if not 1 <= lease_seconds <= 86400:
        raise InvalidParameter(f"@lease_seconds {lease_seconds} is not between 1 and 86400")
    if on_unknown not in ON_UNKNOWN:
        raise InvalidParameter(f"@on_unknown '{on_unknown}' is not reconcile, hold or retry")
    if room is not None and room < 0:
        raise InvalidParameter(f"@room {room} is below 0")
