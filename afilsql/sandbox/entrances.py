"""The ways into the simulated API: who calls, and what for, read from a request of each transport.

/api/http/    POST with a form, GET with a query     user and password are parameters
/api/basic/   the same                               user and password in the Authorization header
/api/json/    POST with a JSON object                a token in the Authorization header
/api/soap/    POST with an envelope; GET ?wsdl       user and password are parts; needs the extra `soap`
/oauth/token  and /oauth/revoke                      where tokens come from
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from afilsql.sandbox.oauth import OAuthError, basic_login

if TYPE_CHECKING:
    from afilsql.sandbox.app import Sandbox

Endpoint = Callable[[Request], Awaitable[Response]]

#: Tokens are for nobody else to keep.
_NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class _TurnedAway(Exception):
    """The request is none that the API looks at."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of the API and of its tokens."""

    async def http(request: Request) -> Response:
        return sandbox.answer(await _form(request))

    async def basic(request: Request) -> Response:
        login = basic_login(request.headers.get("Authorization", ""))
        if login is None:
            raise _TurnedAway(_unauthorized('Basic realm="sandbox", charset="UTF-8"'))
        return sandbox.answer({**await _form(request), "user": login[0], "password": login[1]})

    async def as_json(request: Request) -> Response:
        user = sandbox.oauth.user_of(request.headers.get("Authorization", ""))
        if user is None:
            raise _TurnedAway(_unauthorized('Bearer realm="sandbox", error="invalid_token"'))
        return sandbox.answer({**await _object(request), "user": user}, proven=True)

    async def soap(request: Request) -> Response:
        try:
            from afilsql.sandbox.soap import respond
        except ImportError:
            return PlainTextResponse("SOAP needs lxml: pip install 'afilsql[soap]'", 501)
        return await respond(request, sandbox.answer)

    async def token(request: Request) -> Response:
        form = await _form(request)
        authorization = request.headers.get("Authorization", "")
        who = (basic_login(authorization) or ("",))[0] or form.get("client_id", "")
        turned_away = sandbox.over_limit(f"client {who}", time.monotonic())
        return turned_away or JSONResponse(sandbox.oauth.token(form, authorization), headers=_NOT_STORED)

    async def revoke(request: Request) -> Response:
        sandbox.oauth.revoke(await _form(request), request.headers.get("Authorization", ""))
        return Response(headers=_NOT_STORED)

    ways: list[tuple[str, Endpoint, list[str]]] = [
        ("/api/http", http, ["GET", "POST"]),
        ("/api/basic", basic, ["GET", "POST"]),
        ("/api/json", as_json, ["POST"]),
        ("/api/soap", soap, ["GET", "POST"]),
        ("/oauth/token", token, ["POST"]),
        ("/oauth/revoke", revoke, ["POST"]),
    ]
    return [
        Route(path + slash, _late(sandbox, endpoint), methods=methods)
        for path, endpoint, methods in ways
        for slash in ("", "/")
    ]


def _late(sandbox: Sandbox, endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that answers after the sandbox's latency, also those it turns away."""

    async def answer(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except _TurnedAway as away:
            response = away.response
        except OAuthError as error:
            headers = {"WWW-Authenticate": 'Basic realm="sandbox"'} if error.status == 401 else {}
            response = JSONResponse({"error": error.name}, error.status, {**_NOT_STORED, **headers})
        if sandbox.latency:
            await asyncio.sleep(sandbox.latency)
        return response

    return answer


async def _form(request: Request) -> dict[str, str]:
    parameters = dict(request.query_params)
    if request.method == "POST":
        try:
            form = (await request.body()).decode("utf-8")
            parameters.update(parse_qsl(form, keep_blank_values=True, max_num_fields=50, errors="strict"))
        except ValueError:
            raise _TurnedAway(PlainTextResponse("the body is not a UTF-8 form", 400)) from None
    return parameters


async def _object(request: Request) -> dict[str, str]:
    try:
        found = json.loads((await request.body()).decode("utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _TurnedAway(PlainTextResponse("the body is not a JSON object of texts", 400))
    return found


def _unauthorized(challenge: str) -> Response:
    return JSONResponse({"status": "ERROR", "error": "MISSING_USER"}, 401, {"WWW-Authenticate": challenge})
