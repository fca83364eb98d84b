"""The simulated chat API as a web application.

    POST /api/http/           the API; GET with a query works as well. The other transports: see entrances
    GET  /received?since=N    calls accepted after the Nth, oldest first, as a JSON list; &limit=M cuts it
    GET  /health              {"status": "ok", "received": how many calls were accepted}
    POST /customer            a customer writes: JSON of user, platform, platformid, destination, message; 400 says what
                              is wrong

Switches of Sandbox: accounts, clients, token_seconds, channels, latency, rate_limit, fail_rate, fault, seed,
list_delay, list_latest, newest_first, mark_read, delivered_after, read_after, auto_customer. A message whose text holds
[sandbox:503], [sandbox:429], [sandbox:500], [sandbox:close], [sandbox:html] or [sandbox:lost] meets that fault on its
first try and is accepted from the second on. A call that meets a fault is not carried out, but for `lost`, where only
the answer is missing.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from afilsql.errors import ConfigError
from afilsql.sandbox import entrances
from afilsql.sandbox.faults import FAULT_KINDS, FaultKind, Faults
from afilsql.sandbox.oauth import OAuth
from afilsql.sandbox.state import DEFAULT_CHANNELS, Clock, State, utcnow

#: Accepted calls remembered; of more, the oldest are forgotten.
RECEIVED = 1_000_000

_PAGE = "<!doctype html><title>Maintenance</title><p>We will be back soon."
_CUSTOMER = ("user", "platform", "platformid", "destination", "message")
_HIDDEN = ("user", "password", "class", "method")


class Sandbox:
    """The simulated API: what it remembers, how fast it answers, when it fails.

    Args:
        accounts: Users to passwords; None accepts any.
        clients: OAuth 2.0 clients to secrets; None accepts any. A client acts for the user of its name.
        token_seconds: Lifetime of an access token.
        channels: (platform, platformid, name) of each channel.
        latency: Seconds between carrying out a call and answering it.
        rate_limit: Calls a second each user may make; beyond it 429 with Retry-After. None is no limit.
        fail_rate: Share of calls that fail by chance, 0 to 1.
        fault: What those meet: 503, 429, 500, close, html or lost.
        seed: Of the chance; the same seed and calls meet the same faults.
        list_delay: Seconds until a message that was sent is listed.
        list_latest: Messages of a chat that getmessages lists at most, the latest.
        newest_first, mark_read, delivered_after, read_after, auto_customer: See State.
        clock: The time (UTC) of messages and accepted calls.

    Raises:
        ConfigError: A switch is out of range.
    """

    def __init__(
        self,
        *,
        accounts: Mapping[str, str] | None = {"demo": "demo"},
        clients: Mapping[str, str] | None = {"demo": "demo"},
        token_seconds: int = 3600,
        channels: Iterable[tuple[str, str, str]] = DEFAULT_CHANNELS,
        latency: float = 0.0,
        rate_limit: float | None = None,
        fail_rate: float = 0.0,
        fault: FaultKind = "503",
        seed: int | None = None,
        list_delay: float = 0.0,
        list_latest: int | None = None,
        newest_first: bool = False,
        mark_read: bool = False,
        delivered_after: float | None = None,
        read_after: float | None = None,
        auto_customer: str | None = None,
        clock: Clock = utcnow,
    ) -> None:
        _check_switches(latency, rate_limit, fail_rate, fault, token_seconds)
        self.latency = latency
        self._state = State(
            accounts,
            channels,
            clock,
            list_delay=list_delay,
            list_latest=list_latest,
            newest_first=newest_first,
            mark_read=mark_read,
            delivered_after=delivered_after,
            read_after=read_after,
            auto_customer=auto_customer,
        )
        self.oauth = OAuth(clients, self._state.may_log_in, seconds=token_seconds, monotonic=time.monotonic)
        chance = random.Random(seed)  # noqa: S311 - no secrets here
        self._faults = Faults(rate_limit, fail_rate, fault, chance.random)
        self._clock = clock
        self._received: deque[dict[str, Any]] = deque(maxlen=RECEIVED)
        self._count = 0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many calls were accepted."""
        return self._count

    def received(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the calls accepted after the `since`th, oldest first.

        Each is a dict of n (counted from 1), at (UTC), method, user and params; never the password.
        """
        with self._lock:
            first = self._count - len(self._received)
            return list(islice(self._received, max(0, since - first), None))

    def customer_says(self, user: str, platform: str, platformid: str, destination: str, text: str) -> str:
        """Have a customer write; return the messageid. Raises ValueError, see State.customer_says."""
        return self._state.customer_says(user, platform, platformid, destination, text)

    def over_limit(self, who: str, now: float) -> Response | None:
        """Count a call; return the answer that turns it away, None when it may pass."""
        wait = self._faults.over_limit(who, now)
        return None if wait is None else _fault_response("429", wait)

    def answer(self, parameters: Mapping[str, str], *, proven: bool = False) -> Response:
        """Carry out one call and return its answer.

        Args:
            parameters: What the caller said, class, method and user among it.
            proven: A token has proven who the user is, in place of a password.
        """
        turned_away = self.over_limit(parameters.get("user", ""), time.monotonic())
        if turned_away is not None:
            return turned_away
        code = self._state.refusal(parameters, proven=proven)
        if code is not None:
            return _json({"status": "ERROR", "error": code})
        fault = self._faults.strikes(parameters)
        if fault == "lost":
            self._state.perform(parameters)
            self._note(parameters)
            return _BrokenResponse()
        if fault is not None:
            return _fault_response(fault, 1)
        rows = self._state.perform(parameters)
        self._note(parameters)
        return _json({"status": "SUCCESS", "result": {} if rows is None else {"list": rows}})

    def _note(self, parameters: Mapping[str, str]) -> None:
        params = {name: value for name, value in parameters.items() if name not in _HIDDEN}
        with self._lock:
            self._count += 1
            self._received.append(
                {
                    "n": self._count,
                    "at": self._clock(),
                    "method": parameters["method"],
                    "user": parameters["user"],
                    "params": params,
                }
            )


def create_app(sandbox: Sandbox) -> Starlette:
    """Return the web application that answers as the sandbox says."""

    async def received(request: Request) -> Response:
        try:
            since = int(request.query_params.get("since", "0"))
            limit = int(request.query_params.get("limit", str(RECEIVED)))
        except ValueError:
            return PlainTextResponse("since and limit are whole numbers", 400)
        records = sandbox.received(since)[: max(0, limit)]
        return _json([_flat(record) for record in records])

    async def customer(request: Request) -> Response:
        try:
            said = json.loads(await request.body())
            told = [said.get(name) for name in _CUSTOMER] if isinstance(said, dict) else [None]
            if not all(isinstance(text, str) for text in told):
                raise ValueError(f"give a JSON object of the texts {', '.join(_CUSTOMER)}")
            return _json({"messageid": sandbox.customer_says(*told)})
        except (json.JSONDecodeError, UnicodeError, RecursionError):
            return PlainTextResponse("the body is not JSON in UTF-8", 400)
        except ValueError as error:
            return PlainTextResponse(str(error), 400)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "received": sandbox.count})

    return Starlette(
        routes=[
            *entrances.routes(sandbox),
            Route("/received", received),
            Route("/health", health),
            Route("/customer", customer, methods=["POST"]),
        ]
    )


class _BrokenResponse(Response):
    """Promises more than it sends, so that the server must close the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"status": "SUC', "more_body": True})


def _fault_response(fault: FaultKind, wait: int) -> Response:
    if fault == "close":
        return _BrokenResponse()
    if fault == "html":
        return HTMLResponse(_PAGE)
    headers = {"Retry-After": str(wait)} if fault in ("429", "503") else None
    return PlainTextResponse("simulated fault", int(fault), headers)


def _json(value: object) -> Response:
    return Response(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), media_type="application/json")


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    head = {"n": record["n"], "at": record["at"].isoformat(), "method": record["method"], "user": record["user"]}
    return {**record["params"], **head}


def _check_switches(latency: float, rate_limit: float | None, fail_rate: float, fault: str, token_seconds: int) -> None:
    if not 0 <= latency <= 3600:
        raise ConfigError(f"the sandbox's latency is {latency}: give seconds from 0 to 3600")
    if rate_limit is not None and not rate_limit > 0:
        raise ConfigError(f"the sandbox's rate limit is {rate_limit}: give calls a second above 0, or none")
    if not 0 <= fail_rate <= 1:
        raise ConfigError(f"the sandbox's fail rate is {fail_rate}: give a share from 0 to 1")
    if fault not in FAULT_KINDS:
        raise ConfigError(f"the sandbox's fault is '{fault}': choose one of {', '.join(FAULT_KINDS)}")
    if not 1 <= token_seconds <= 86_400:
        raise ConfigError(f"the sandbox's tokens are good for {token_seconds} seconds: give 1 to 86400")
