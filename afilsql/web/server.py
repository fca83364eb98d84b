"""The page on a port: in a thread beside the caller, or as the whole process."""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from collections.abc import Callable
from typing import Self

import uvicorn

from afilsql import asgi, secretfiles
from afilsql.errors import ConfigError
from afilsql.logs import Logger
from afilsql.outbox.browse import Browser
from afilsql.web.app import create_app
from afilsql.web.connections import Connection
from afilsql.web.figures import Figures
from afilsql.web.sessions import Sessions
from afilsql.web.site import Site
from afilsql.web.throttle import Throttle
from afilsql.web.users import Users
from afilsql.websettings import WebSettings

#: Seconds that requests under way get when it ends, connections at a time, and seconds an idle one is kept.
_GRACE_SECONDS, _CONNECTIONS, _KEEP_SECONDS = 3, 200, 15
_MIN_SECRET = 32


class WebServer:
    """The page in a thread; a context manager that serves while it is entered.

    Args:
        browser: Where the page reads and acts; whoever opened it closes it.
        load: Reads the settings; where it listens and whom it trusts is taken once, the users every few seconds.
        logger: Gets who signed in, who did what, and what failed.
        clock: Seconds since 1970, for the sessions.
        monotonic: Seconds that never go back, for the throttle.

    Raises:
        ConfigError: Nobody could sign in; the secret or the certificate cannot be used; on entering, the port cannot
            be taken.
    """

    def __init__(
        self,
        browser: Browser,
        load: Callable[[], WebSettings],
        logger: Logger,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = load()
        settings.require_somebody()
        sessions = Sessions(
            _secret(settings),
            idle_seconds=settings.idle_minutes * 60,
            total_seconds=settings.session_hours * 3600,
            clock=clock,
        )
        self._settings, self._logger = settings, logger
        self.site = Site(
            browser,
            Figures(browser),
            Users(load, monotonic=monotonic),
            sessions,
            Throttle(monotonic),
            logger,
            masks=settings.mask_messages,
        )
        self._config = uvicorn.Config(
            create_app(self.site, settings),
            log_level="warning",
            log_config=None,  # what it says goes where the process's other lines go
            access_log=False,
            lifespan="off",
            http=Connection,
            ws="none",
            proxy_headers=False,
            server_header=False,
            date_header=True,
            timeout_keep_alive=_KEEP_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            limit_concurrency=_CONNECTIONS,
            ssl_certfile=settings.cert,
            ssl_keyfile=settings.key,
        )
        try:
            self._config.load()
        except (ssl.SSLError, OSError) as e:
            reason = getattr(e, "reason", None) or getattr(e, "strerror", None) or "not a certificate with its key"
            raise ConfigError(
                f"web.cert and web.key cannot be used ({reason}): name PEM files that belong together"
            ) from None
        self._thread: asgi.ServerThread | None = None
        self._port = settings.port

    @property
    def url(self) -> str:
        """Where the page is, once the port is taken."""
        return asgi.url_of(self._settings.host, self._port, "https" if self._settings.cert else "http") + "/"

    def start(self) -> None:
        """Take the port and serve in a thread. Raises ConfigError."""
        self._thread = asgi.ServerThread(self._config, self._listen(), name="afilsql-web")
        self._logger.info("web_started", url=self.url)

    def stop(self) -> None:
        """Stop serving; requests under way get a moment to finish. May be called twice."""
        if self._thread is not None:
            self._thread.stop()
        self._thread = None

    def run(self, ready: Callable[[str], object] = lambda _: None) -> None:
        """Serve until SIGTERM or SIGINT; `ready` is told the address once the port is taken. Raises ConfigError."""
        listener = self._listen()

        def tell() -> None:
            ready(self.url)
            self._logger.info("web_started", url=self.url)

        asgi.serve(self._config, listener, tell)
        self._logger.info("web_ended")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _listen(self) -> socket.socket:
        instead = "set another web.host, or another port"
        listener = asgi.listen(self._settings.host, self._settings.port, "the page", instead)
        self._port = listener.getsockname()[1]
        return listener


def _secret(settings: WebSettings) -> str:
    """The secret that signs sessions; a new one where none is set. Raises ConfigError."""
    if settings.secret is not None:
        return settings.secret.get_secret_value()
    if settings.secret_file is None:
        return secrets.token_urlsafe(32)
    found = secretfiles.read_secret(settings.secret_file, f"the file {settings.secret_file} of web.secret_file")
    if len(found) < _MIN_SECRET:
        raise ConfigError(f"the secret in {settings.secret_file} is short: write {_MIN_SECRET} random characters")
    return found
