"""What the pages share, and how they answer: templates, error pages, roles."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from afilsql import plain
from afilsql.errors import AfilsqlError, DatabaseError, DatabaseUnavailable, InvalidParameter, RequestNotFound
from afilsql.logs import Logger
from afilsql.outbox.browse import Browser
from afilsql.web.figures import Figures
from afilsql.web.guard import Visit
from afilsql.web.sessions import Sessions
from afilsql.web.text import duration, moment, number, visible
from afilsql.web.throttle import Throttle
from afilsql.web.users import User, Users
from afilsql.websettings import Role

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
#: What stands for a text that readers do not see.
HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages work with; `masks` hides messages from readers."""

    browser: Browser
    figures: Figures
    users: Users
    sessions: Sessions
    throttle: Throttle
    logger: Logger
    masks: bool = False

    def shows_messages(self, user: User) -> bool:
        """Whether a user sees what was written."""
        return user.is_operator or not self.masks


@cache
def static_files() -> Mapping[str, tuple[bytes, str]]:
    """The files beside the pages, (content, type) by name."""
    found = (f for f in files("afilsql.web").joinpath("static").iterdir() if f.name.rpartition(".")[2] in _TYPES)
    return {f.name: (f.read_bytes(), _TYPES[f.name.rpartition(".")[2]]) for f in found}


def static_url(name: str) -> str:
    """The address of such a file; it changes with what is in it, so that browsers may keep it."""
    return f"/static/{name}?v={hashlib.sha256(static_files()[name][0]).hexdigest()[:12]}"


def with_query(path: str, **values: object) -> str:
    """A path with what is not None or empty of the values as its query."""
    given = {k: v for k, v in values.items() if v is not None and v != ""}
    return f"{path}?{urlencode(given, errors='replace')}" if given else path


@cache
def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("afilsql.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"moment": moment, "duration": duration, "number": number}
    made.globals |= {"static": static_url, "with_query": with_query, "HIDDEN": HIDDEN}
    return made


def site_of(request: Request) -> Site:
    """What the pages share."""
    site: Site = request.app.state.site
    return site


def visit_of(request: Request) -> Visit:
    """What the guard found of the request."""
    visit: Visit = request.state.visit
    return visit


def user_of(request: Request) -> User:
    """Whoever is signed in. Raises HTTPException (401) when nobody is."""
    user = visit_of(request).user
    if user is None:
        raise HTTPException(401, "Sign in first.")
    return user


def is_htmx(request: Request) -> bool:
    """Whether a part of a page is wanted."""
    return "hx-request" in request.headers and "hx-history-restore-request" not in request.headers


def render(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Return a page."""
    visit, site = visit_of(request), site_of(request)
    shows = visit.user is not None and site.shows_messages(visit.user)
    shared = {
        "user": visit.user,
        "shows": shows,
        # An API may echo a message where its code stands.
        "code_of": (lambda code: code) if shows else plain.code,
        "by_proxy": visit.by_proxy,
        "token": site.sessions.token(visit.session),
        "path": request.url.path,
    }
    return HTMLResponse(_templates().get_template(template).render(shared | values), status)


def for_role(role: Role | None, page: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """A page for those of a role alone; an operator may do what readers may; None is everybody."""

    def allowed(request: Request) -> Response:
        user = visit_of(request).user
        if role is not None and user is None:
            return _to_sign_in(request)
        if role == "operator" and user is not None and not user.is_operator:
            site_of(request).logger.warning("web_not_allowed", user=user.name, path=request.url.path)
            raise HTTPException(403, "Only operators may do this; your role is reader.")
        return page(request)

    return allowed


def _to_sign_in(request: Request) -> Response:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if is_htmx(request):
        # The page that shows the part, not the part itself.
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    if request.method != "GET":
        return error_page(request, 401, "Your session has ended: sign in again.")
    return RedirectResponse(with_query("/sign-in", next=here if here != "/" else ""), 303)


def error_page(request: Request, status: int, text: str) -> Response:
    """Return a page that says what went wrong."""
    if not hasattr(request.state, "visit"):
        return Response(text, status, media_type="text/plain")
    titles = {401: "Signed out", 403: "Not allowed", 404: "Not found", 503: "Not available"}
    title = titles.get(status, "That did not work")
    return render(request, "error.html", status, title=title, text=text)


def on_http_error(request: Request, error: Exception) -> Response:
    """A page for what the routes refuse."""
    assert isinstance(error, HTTPException)
    texts = {404: "There is no such page.", 405: "This page cannot be asked for in that way."}
    text = texts.get(error.status_code, "") if error.detail in ("Not Found", "Method Not Allowed") else error.detail
    return error_page(request, error.status_code, text)


def on_our_error(request: Request, error: Exception) -> Response:
    """A page for what the outbox refuses. A database's own words are for the log alone."""
    assert isinstance(error, AfilsqlError)
    match error:
        case RequestNotFound():
            return error_page(request, 404 if request.method == "GET" else 409, str(error))
        case InvalidParameter():
            return error_page(request, 400, str(error))
        case DatabaseUnavailable():
            status, text = 503, "The database cannot be reached right now. Try again in a moment."
        case DatabaseError():
            status, text = 500, "The database refused that; the log of this page says more."
        case _:
            status, text = 500, "That failed; the log of this page says more."
    site_of(request).logger.error("web_failed", path=request.url.path, error=type(error).__name__, detail=str(error))
    return error_page(request, status, text)


def on_defect(request: Request, error: Exception) -> Response:
    """A page for a defect of ours; the log says where, and not the error's text, which may hold anything."""
    from pathlib import PurePath
    from traceback import extract_tb

    frames = [f"{PurePath(f.filename).name}:{f.lineno} {f.name}" for f in extract_tb(error.__traceback__)]
    site_of(request).logger.error("web_defect", path=request.url.path, error=type(error).__name__, frames=frames[-8:])
    return error_page(request, 500, "That failed; the log of this page says where.")
