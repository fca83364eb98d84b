"""The page as an ASGI application: which path shows what, and to whom."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from afilsql.errors import AfilsqlError
from afilsql.web import pages, signin
from afilsql.web.guard import Guard
from afilsql.web.site import Site, for_role, on_defect, on_http_error, on_our_error, static_files
from afilsql.websettings import Role, WebSettings


def _static(request: Request) -> Response:
    found = static_files().get(request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    content, kind = found
    return Response(content, headers={"content-type": kind, "cache-control": "public, max-age=31536000, immutable"})


#: (method, path, page, the least role it takes); None is everybody, signed in or not.
ROUTES: tuple[tuple[str, str, Callable[[Request], Response], Role | None], ...] = (
    ("GET", "/", pages.overview, "reader"),
    ("GET", "/live", pages.live, "reader"),
    ("GET", "/charts", pages.charts, "reader"),
    ("GET", "/items", pages.items, "reader"),
    ("GET", "/items/{id:int}", pages.item, "reader"),
    ("GET", "/conversation", pages.conversation, "reader"),
    ("GET", "/act/{action}", pages.confirm, "operator"),
    ("POST", "/act/{action}", pages.act, "operator"),
    ("GET", "/sign-in", signin.form, None),
    ("POST", "/sign-in", signin.sign_in, None),
    ("POST", "/sign-out", signin.sign_out, None),
    ("GET", "/static/{name}", _static, None),
)


def create_app(site: Site, settings: WebSettings) -> ASGIApp:
    """Return the application, its guard in front."""
    routes = [Route(path, for_role(role, page), methods=[method]) for method, path, page, role in ROUTES]
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: on_http_error, AfilsqlError: on_our_error, Exception: on_defect},
    )
    app.state.site = site
    return Guard(app, settings=settings, users=site.users, sessions=site.sessions)
