"""The page on a port: in a thread beside the caller, or as the whole process."""

from __future__ import annotations

import secrets
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import uvicorn

from afilsql import secretfiles
from afilsql.errors import ConfigError
from afilsql.logs import Logger
from afilsql.outbox.browse import Browser
from afilsql.web.app import create_app
from afilsql.web.figures import Figures
from afilsql.web.sessions import Sessions
from afilsql.web.site import Site
from afilsql.web.throttle import Throttle
from afilsql.web.users import Users
from afilsql.websettings import WebSettings

_START_SECONDS = 10.0
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
        if not settings.users and not (settings.proxy_user_header and settings.proxy_roles):
            raise ConfigError(
                "nobody could sign in: add [web.users.NAME] with the password_hash that `afilsql web hash-password` "
                "prints and a role, or set web.proxy_user_header and web.proxy_roles"
            )
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
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._port = settings.port

    @property
    def url(self) -> str:
        """Where the page is, once the port is taken."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"{'https' if self._settings.cert else 'http'}://{host}:{self._port}/"

    def start(self) -> None:
        """Take the port and serve in a thread. Raises ConfigError."""
        listener = self._listen()
        self._server = uvicorn.Server(self._config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="afilsql-web", daemon=True
        )
        self._thread.start()
        give_up = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                self.stop()
                listener.close()
                raise ConfigError(f"the page did not start on {self.url}: set another web.port")
            time.sleep(0.005)
        self._logger.info("web_started", url=self.url)

    def stop(self) -> None:
        """Stop serving; requests under way get a moment to finish. May be called twice."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=_GRACE_SECONDS + 5)
        self._server = self._thread = None

    def run(self, ready: Callable[[str], object] = lambda _: None) -> None:
        """Serve until SIGTERM or SIGINT; `ready` is told the address once the port is taken. Raises ConfigError."""
        listener = self._listen()
        with _quiet_signals():
            ready(self.url)
            self._logger.info("web_started", url=self.url)
            uvicorn.Server(self._config).run(sockets=[listener])
        self._logger.info("web_ended")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _listen(self) -> socket.socket:
        host, port = self._settings.host, self._settings.port
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, kind, protocol)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen(128)
            except OSError:
                listener.close()
                raise
        except OSError as error:
            raise ConfigError(
                f"the page cannot listen on {host}:{port} ({error.strerror}): set another web.host or web.port"
            ) from None
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


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Take the signals uvicorn raises once more after its own graceful stop."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
