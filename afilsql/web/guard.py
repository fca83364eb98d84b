"""What every request passes before a page sees it: host, proxy, session, user, origin and token; and the headers of
every answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from afilsql.web.sessions import Session, Sessions
from afilsql.web.users import User, Users
from afilsql.websettings import WebSettings

#: Bytes of a form, its fields, and the seconds it gets to arrive.
MAX_FORM, MAX_FIELDS, FORM_SECONDS = 64_000, 20, 10.0
#: Answers again and again without anybody at the screen: they keep no session alive.
UNATTENDED = ("/live",)

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # Not no-referrer: browsers then hide the origin of a form as well, which is checked.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(slots=True)
class Visit:
    """One request as the pages see it.

    Attributes:
        address: Who asks, as far as can be known.
        https: Whether it came by https, to us or to the proxy.
        session: Of the cookie, else a new one.
        user: Who is signed in; None is nobody.
        form: Fields of a POST, whose origin and token were found right.
        by_proxy: A trusted proxy named the user.
    """

    address: str
    https: bool
    session: Session
    user: User | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    by_proxy: bool = False


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Guard:
    """ASGI middleware; pages find the Visit as `request.state.visit`, and may give it another session.

    Args:
        app: The pages.
        settings: Where it listens, and whom it trusts.
        users: Who may sign in.
        sessions: Reads and writes the cookies.
    """

    def __init__(self, app: ASGIApp, *, settings: WebSettings, users: Users, sessions: Sessions) -> None:
        self._app, self._settings, self._users, self._sessions = app, settings, users, sessions
        self._proxies = [ipaddress.ip_network(n) for n in settings.proxy_from] if settings.behind_proxy else []
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._hosts = {name.lower() for name in (*_LOOPBACK, host, *settings.allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        is_static = scope["path"].startswith("/static/")
        visit: Visit | None = None
        refused = False
        headers = Headers(scope=scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    found[name] = value
                if not (is_static and message["status"] == 200):
                    found["cache-control"] = "no-store"
                    found["vary"] = "Cookie, HX-Request"
                if visit is not None and visit.https:
                    found["strict-transport-security"] = "max-age=31536000"
                # A form of another site comes without our cookie: with a new one it would sign somebody out.
                if visit is not None and not is_static and not refused:
                    self._set_cookie(found, headers, visit, scope["path"])
            await send(message)

        try:
            visit = self._visit(scope, headers)
            if scope["method"] == "POST":
                visit.form = await self._form(headers, receive, visit)
        except _Refused as e:
            refused = True
            await PlainTextResponse(e.text + "\n", e.status)(scope, receive, answer)
            return
        scope.setdefault("state", {})["visit"] = visit
        await self._app(scope, receive, answer)

    def _visit(self, scope: Scope, headers: Headers) -> Visit:
        peer = scope["client"][0] if scope.get("client") else ""
        address, https = peer, scope["scheme"] == "https"
        if self._settings.behind_proxy:
            if not self._is_proxy(peer):
                raise _Refused(403, "This page is reached through its proxy only.")
            address = self._client_of(headers, peer)
            https = https or headers.get("x-forwarded-proto", "").strip().lower() == "https"
            if not https:
                raise _Refused(403, "This page is reached by https only: the proxy has to set X-Forwarded-Proto.")
        if _name_of(headers.get("host", "")) not in self._hosts:
            raise _Refused(400, "This page does not go by that name: see web.allowed_hosts in the settings.")
        if len(headers.getlist("host")) > 1:
            raise _Refused(400, "The request names two hosts.")
        session = self._sessions.read(_cookies(headers).get(_cookie_name(https), "")) or self._sessions.begin()
        visit = Visit(address, https, session)
        if self._settings.proxy_user_header is not None:
            named = headers.getlist(self._settings.proxy_user_header)
            if len(named) == 1 and (user := self._users.of_proxy(named[0])):
                visit.user, visit.by_proxy = user, True
                return visit
        if session.user is not None:
            visit.user = self._users.get(session.user, session.fingerprint)
            if visit.user is None:  # hash, role or user are no longer what they were
                self._sessions.end(session)
                visit.session = self._sessions.begin()
        return visit

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._proxies)

    def _client_of(self, headers: Headers, peer: str) -> str:
        """Return the last address on the way that is no proxy of ours; those before it anybody may have written."""
        way = [a.strip() for line in headers.getlist("x-forwarded-for") for a in line.split(",")]
        return next((a for a in reversed(way) if not self._is_proxy(a)), peer)

    async def _form(self, headers: Headers, receive: Receive, visit: Visit) -> Mapping[str, str]:
        """Read a form that came from a page of ours. Raises _Refused."""
        self._check_origin(headers, visit)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise _Refused(415, "A form of this page is expected.")
        body = b""
        try:
            async with asyncio.timeout(FORM_SECONDS):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Refused(400, "The request broke off.")
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > MAX_FORM:
                        raise _Refused(413, "The form is too large.")
        except TimeoutError:
            raise _Refused(408, "The form took too long to arrive.") from None
        try:
            pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            raise _Refused(400, "The form cannot be read.") from None
        form = dict(pairs)
        if len(form) < len(pairs):
            raise _Refused(400, "The form has a field twice.")
        if not self._sessions.is_token(visit.session, form.pop("token", "")):
            raise _Refused(403, "This form is no longer valid: go back, load the page anew, and try again.")
        return form

    def _check_origin(self, headers: Headers, visit: Visit) -> None:
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise _Refused(403, "The form comes from another site.")
        origin = headers.get("origin") or "://".join(urlsplit(headers.get("referer", ""))[:2])
        own = f"{'https' if visit.https else 'http'}://{headers['host']}"
        if origin.lower() != own.lower():
            raise _Refused(403, "The form does not come from this page.")

    def _set_cookie(self, found: MutableHeaders, headers: Headers, visit: Visit, path: str) -> None:
        session, name = visit.session, _cookie_name(visit.https)
        before = _cookies(headers).get(name)
        if path not in UNATTENDED and (used := self._sessions.touched(session)):
            session = replace(session, used=used.used)
        value = self._sessions.write(session)
        if value != before:
            secure = "; Secure" if visit.https else ""
            # Not Strict: whoever follows a link from elsewhere would come without it, and be signed out by a new one.
            # What a form does is guarded by its origin and token.
            found.append("set-cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}")


def _cookie_name(https: bool) -> str:
    """With the prefix a browser lets no other host, nor a page without https, set it."""
    return "__Host-afilsql" if https else "afilsql"


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _name_of(host: str) -> str:
    """The host's name in small letters, without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()
