"""The pages of those who are signed in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from afilsql import plain
from afilsql.api.methods import METHODS, PLATFORMS
from afilsql.errors import RequestNotFound
from afilsql.outbox.browse import COUNTED, Browser, Filter
from afilsql.outbox.records import STATUSES
from afilsql.web.actions import ACTIONS, Action, is_target, of_item, reason_of
from afilsql.web.site import Site, is_htmx, render, site_of, user_of, visit_of, with_query

#: Requests on a page, messages of a conversation, and characters of a text that is searched for.
PAGE, CHAT, MAX_TEXT = 50, 200, 200
#: A worker that was not heard of for so many seconds is taken for gone, as in afil.workers.
ALIVE_SECONDS = 60
#: Parameters of a request that are hidden from readers where messages are.
_WRITTEN = ("message", "fileurl", "thumburl")


def overview(request: Request) -> Response:
    """The queue at a glance."""
    still = "still" in request.query_params
    return render(request, "overview.html", still=still, done=_done(request), **_now(request), **_charts(request))


def live(request: Request) -> Response:
    """The part of the overview that is told again every few seconds."""
    return render(request, "live.html", **_now(request))


def charts(request: Request) -> Response:
    """The part of the overview with what was sent and failed."""
    return render(request, "charts.html", **_charts(request))


def _now(request: Request) -> dict[str, Any]:
    site = site_of(request)
    found = site.figures.overview()
    waiting = sum(d.waiting for d in found.depths)
    oldest = max((d.oldest_seconds for d in found.depths if d.oldest_seconds is not None), default=None)
    alive = sum(1 for _, seconds in found.workers if seconds <= ALIVE_SECONDS)
    return {
        "found": found,
        "waiting": waiting,
        "sending": sum(d.sending for d in found.depths),
        "scheduled": sum(d.scheduled for d in found.depths),
        "oldest": oldest,
        "alive": alive,
        "alive_seconds": ALIVE_SECONDS,
        "held": dict(found.held),
        "names": sorted(
            {d.account for d in found.depths} | {n for n, _ in found.held} | set(site.browser.account_names())
        ),
        "counted": COUNTED,
    }


def _charts(request: Request) -> dict[str, Any]:
    figures = site_of(request).figures
    return {"spans": (("hour", "Last hour", figures.hour()), ("day", "Last 24 hours", figures.day()))}


def items(request: Request) -> Response:
    """Requests, newest first, by what they are searched and filtered for."""
    site, user, query = site_of(request), user_of(request), request.query_params
    shows, wrong = site.shows_messages(user), ""
    given = {
        "text": query.get("text", "").strip()[:MAX_TEXT],
        **{name: query.get(name, "").strip() for name in ("status", "account", "method", "platform", "code")},
        **{name: query.get(name, "") for name in ("since", "until")},
    }
    times: dict[str, datetime | None] = {}
    for name in ("since", "until"):
        try:
            times[name] = _time_of(given[name])
        except ValueError:
            wrong = f"The time '{given[name][:40]}' cannot be read: write it as in 2026-03-31T09:30, in UTC."
    which = Filter(
        text=given["text"] or None,
        status=next((s for s in STATUSES if s == given["status"]), None),
        account=given["account"][:128] or None,
        method=given["method"][:20] or None,
        platform=given["platform"][:20] or None,
        code=(given["code"][:100] if shows else plain.code(given["code"])) if given["code"] else None,
        messages=shows,
        since=times.get("since"),
        until=times.get("until"),
    )
    before = query.get("before", "")
    found = None
    if not wrong:
        start = int(before) if before.isascii() and before.isdigit() and len(before) <= 18 else None
        found = site.browser.find(which, before=start, limit=PAGE)
    values: dict[str, Any] = {
        "found": found,
        "wrong": wrong,
        "given": given,
        "is_filtered": any(value for name, value in given.items() if name != "text"),
        "before": before,
        "newest": with_query("/items", **given),
        "older": with_query("/items", **given, before=found.older) if found and found.older else None,
        "exact": _exact(site.browser, which.id),
    }
    if is_htmx(request):
        return render(request, "results.html", **values)
    choices: dict[str, Any] = {"statuses": STATUSES, "methods": METHODS, "platforms": PLATFORMS}
    return render(request, "items.html", accounts=site.browser.account_names(), **choices, **values)


def item(request: Request) -> Response:
    """One request with its tries and its answer."""
    site, user = site_of(request), user_of(request)
    detail = site.browser.get(_id(request.path_params["id"]))
    shows, one = site.shows_messages(user), detail.item
    parameters = [(n, v if shows or n not in _WRITTEN else None) for n, v in one.parameters.items()]
    answer = None if detail.answer is None else _pretty(detail.answer) if shows else ""
    chat = None
    if all(one.parameters.get(n) for n in ("platform", "platformid", "destination")):
        names = ("platform", "platformid", "destination")
        chat = with_query("/conversation", account=one.account, **{n: one.parameters[n] for n in names})
    return render(
        request,
        "item.html",
        item=one,
        history=detail.history,
        parameters=parameters,
        answer=answer,
        chat=chat,
        actions=of_item(one) if user.is_operator else [],
        done=_done(request),
    )


def conversation(request: Request) -> Response:
    """A conversation as a chat."""
    site, query = site_of(request), request.query_params
    platform, platformid, destination = (query.get(n, "") for n in ("platform", "platformid", "destination"))
    if not (platform and platformid and destination):
        raise HTTPException(404, "A conversation has a platform, a platformid and a destination.")
    account = query.get("account") or None
    found = site.browser.conversation(platform, platformid, destination, account=account, limit=CHAT)
    days: list[tuple[str, list[object]]] = []
    for entry in found:
        day = entry.at.strftime("%A, %d %B %Y").replace(" 0", " ")
        if not days or days[-1][0] != day:
            days.append((day, []))
        days[-1][1].append(entry)
    return render(
        request,
        "conversation.html",
        days=days,
        count=len(found),
        most=CHAT,
        account=account,
        platform=platform,
        platformid=platformid,
        destination=destination,
    )


def confirm(request: Request) -> Response:
    """Ask whether to do something."""
    action, target = _asked(request, request.query_params.get("target", ""))
    question, back = _said(action.question, target), _page_of(action, target)
    return render(request, "confirm.html", action=action, target=target, question=question, back=back)


def act(request: Request) -> Response:
    """Do it, and go back to where it shows."""
    site, user, form = site_of(request), user_of(request), visit_of(request).form
    action, target = _asked(request, form.get("target", ""))
    try:
        changed = action.run(site.browser, target, reason_of(form.get("reason", ""), user.name))
    except Exception as error:
        _audit(site, action, target, user.name, type(error).__name__)
        raise
    _audit(site, action, target, user.name, "done" if changed else "nothing to do")
    site.figures.forget()
    said = {"done": action.name if changed else f"not-{action.name}", "of": target}
    return RedirectResponse(with_query(_page_of(action, target), **said), 303)


def _audit(site: Site, action: Action, target: str, user: str, outcome: str) -> None:
    site.logger.info("web_action", action=action.name, target=target or "everything", user=user, outcome=outcome)


def _asked(request: Request, target: str) -> tuple[Action, str]:
    action = ACTIONS.get(request.path_params["action"])
    if action is None or not is_target(action, target):
        raise HTTPException(404, "There is nothing of that kind to do.")
    return action, target


def _page_of(action: Action, target: str) -> str:
    return f"/items/{target}" if action.on == "item" else "/"


def _done(request: Request) -> str:
    """What to say of an action just done; a text of ours, whatever the address says."""
    name, target = request.query_params.get("done", ""), request.query_params.get("of", "")
    action = ACTIONS.get(name.removeprefix("not-"))
    if action is None or not is_target(action, target):
        return ""
    return _said(action.not_done if name.startswith("not-") else action.done, target)


def _said(text: str, target: str) -> str:
    return text.replace("{target}", target)


def _exact(browser: Browser, id: int) -> int | None:
    """The request whose id was searched for; it need not be searched for."""
    try:
        return None if id < 0 else browser.get(id).item.id
    except RequestNotFound:
        return None


def _id(id: int) -> int:
    if id >= 2**63:
        raise HTTPException(404, "There is no such request.")
    return id


def _time_of(text: str) -> datetime | None:
    """A time as browsers and people write it, in UTC. Raises ValueError."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    if not 1970 <= found.year <= 9000:
        raise ValueError(text)
    return found


def _pretty(answer: str) -> str:
    """JSON on lines of its own; anything else as it came."""
    try:
        return json.dumps(json.loads(answer), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return answer
