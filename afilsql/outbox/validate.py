"""Check a request before anything is written: the same rules as afil.request_fault, one for all implementations."""

from __future__ import annotations

from dataclasses import replace

from afilsql.api import methods
from afilsql.errors import InvalidParameter
from afilsql.outbox.base import Request


def validate(request: Request) -> Request:
    """Return the request with its empty parameters left out.

    Raises:
        InvalidParameter: A parameter is missing, too long or not allowed; the message names it.
    """
    parameters = methods.check(request.method, request.parameters)
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


def validate_all(requests: list[Request] | tuple[Request, ...]) -> list[Request]:
    """Check many; the message names the first bad one as `request N`, counted from 1.

    Raises:
        InvalidParameter: One of them is not allowed.
    """
    checked = []
    for n, request in enumerate(requests, start=1):
        try:
            checked.append(validate(request))
        except InvalidParameter as e:
            raise InvalidParameter(f"request {n}: {e}") from None
    return checked
