"""Signing in and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from afilsql.web.site import render, site_of, visit_of


def form(request: Request) -> Response:
    """Ask for name and password."""
    if visit_of(request).user is not None:
        return RedirectResponse("/", 303)
    return render(request, "sign_in.html", next=_local(request.query_params.get("next", "")), name="", error="")


def sign_in(request: Request) -> Response:
    """Begin a session, or say that name and password do not fit, and not which."""
    visit, site = visit_of(request), site_of(request)
    name, onward = visit.form.get("name", ""), _local(visit.form.get("next", ""))
    wait = site.throttle.attempt(visit.address, name)
    if wait:
        site.logger.warning("web_sign_in_limited", address=visit.address, seconds=wait)
        text = f"Too many tries: wait {(wait + 59) // 60} min, then try again."
        answer = render(request, "sign_in.html", 429, next=onward, name=name[:64], error=text)
        answer.headers["retry-after"] = str(wait)
        return answer
    user = site.users.verified(name, visit.form.get("password", ""))
    if user is None:
        # Not the name: somebody may have typed the password there.
        site.logger.warning("web_sign_in_failed", address=visit.address)
        text = "Name and password do not go together."
        return render(request, "sign_in.html", 403, next=onward, name=name[:64], error=text)
    site.throttle.succeeded(visit.address, name)
    site.sessions.end(visit.session)
    visit.session = site.sessions.begin(user.name, user.fingerprint)
    site.logger.info("web_sign_in", user=user.name, role=user.role, address=visit.address)
    return RedirectResponse(onward or "/", 303)


def sign_out(request: Request) -> Response:
    """End the session."""
    visit, site = visit_of(request), site_of(request)
    site.sessions.end(visit.session)
    visit.session = site.sessions.begin()
    if visit.user is not None:
        site.logger.info("web_sign_out", user=visit.user.name, address=visit.address)
    return RedirectResponse("/sign-in", 303)


def _local(path: str) -> str:
    """A path of this page, or nothing: not where somebody else's link would lead."""
    is_local = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_local and len(path) <= 2000 else ""
