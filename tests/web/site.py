"""A page to test: an embedded outbox, users, and a client that speaks to it over a socket."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import requests
import structlog
from argon2 import PasswordHasher

from afilsql import deploy
from afilsql.outbox.browse_sqlite import SqliteBrowser
from afilsql.outbox.records import Request, Result
from afilsql.web.server import WebServer
from afilsql.websettings import WebSettings
from tests.patience import PATIENCE

PASSWORD = "correct horse battery"
#: Its hash, with parameters that take no time.
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
USERS: Mapping[str, Any] = {
    "ann": {"password_hash": HASH, "role": "operator"},
    "rob": {"password_hash": HASH, "role": "reader"},
}


@dataclass
class Clock:
    """Time that a test moves."""

    passed: float = 0.0

    def now(self) -> float:
        return 1_800_000_000.0 + self.passed

    def ticks(self) -> float:
        return self.passed


@dataclass
class Page:
    """A page being served.

    Attributes:
        settings: What it reads as its settings; a test may change them.
        lines: What it logged.
    """

    browser: SqliteBrowser
    settings: dict[str, Any]
    clock: Clock
    lines: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    server: WebServer | None = None

    def send(self, destination: str = "34600000000", message: str = "hi", **options: Any) -> int:
        """Queue a message."""
        parameters = {"platform": "whatsapp", "platformid": "100", "destination": destination, "message": message}
        return self.browser.enqueue(Request("sendmessage", parameters, **options))

    def finish(self, kind: str = "sent", **fields: Any) -> int:
        """Take one request and end its call; return its id."""
        (claim,) = self.browser.exchange("host:1", take=1).claims
        known: dict[str, Any] = {"id": claim.id, "lease_id": claim.lease_id, "attempt": claim.attempt, "kind": kind}
        done = Result(**known, **({"started_at": datetime.now(UTC)} | fields))
        self.browser.exchange("host:1", results=[done])
        return claim.id

    def status(self, id: int) -> str:
        return self.browser.get(id).item.status

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Page]:
    """Serve an empty outbox; `settings` are those of the page beside its users."""
    url = f"sqlite:///{(folder / 'outbox.db').as_posix()}"
    if not (folder / "outbox.db").exists():
        deploy.migrate(url)
    with SqliteBrowser(url) as browser:
        page = Page(browser, {"port": 0, "users": dict(USERS)} | settings, Clock())

        def note(_logger: object, method: str, event: dict[str, Any]) -> str:
            page.lines.append({"level": method, **event})
            raise structlog.DropEvent

        logger: Any = structlog.wrap_logger(
            structlog.ReturnLogger(),
            processors=[note],
            wrapper_class=structlog.make_filtering_bound_logger("info"),
        )
        server = WebServer(
            browser,
            lambda: WebSettings.model_validate(page.settings),
            logger,
            clock=page.clock.now,
            monotonic=page.clock.ticks,
        )
        with server:
            page.url, page.server = server.url.rstrip("/"), server
            yield page


class Client:
    """A browser without a screen: keeps cookies, brings forms back."""

    def __init__(self, page: Page, **headers: str) -> None:
        self.page = page
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers.update(headers)

    def get(self, path: str = "/", **options: Any) -> requests.Response:
        return self.http.get(self.page.url + path, **({"allow_redirects": False, "timeout": PATIENCE} | options))

    def token(self, path: str = "/sign-in") -> str:
        """The token in the forms of a page."""
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.get(path).text)
        assert found, f"{path} has no form"
        return found[1]

    def post(self, path: str, data: Any = None, **options: Any) -> requests.Response:
        """Post a form as it is; browsers add where it comes from."""
        headers = {"Origin": self.page.url} | options.pop("headers", {})
        return self.http.post(
            self.page.url + path,
            data=data,
            headers={k: v for k, v in headers.items() if v is not None},
            **({"allow_redirects": False, "timeout": PATIENCE} | options),
        )

    def sign_in(self, name: str = "ann", password: str = PASSWORD, **form: str) -> requests.Response:
        return self.post("/sign-in", {"token": self.token(), "name": name, "password": password, **form})

    def act(self, action: str, target: str | int = "", **form: str) -> requests.Response:
        """Ask for the confirmation and confirm."""
        token = self.token(f"/act/{action}?target={target}")
        return self.post(f"/act/{action}", {"token": token, "target": str(target), **form})


def text_of(answer: requests.Response) -> str:
    """What a page says, without its elements."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def later(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**delta)
