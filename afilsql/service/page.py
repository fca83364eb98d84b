"""The operators' page beside a worker's work, where the settings ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from afilsql.config import Settings
from afilsql.errors import ConfigError
from afilsql.logs import Logger

if TYPE_CHECKING:
    from afilsql.web.server import WebServer


@contextmanager
def serving(settings: Settings, load: Callable[[], Settings], logger: Logger) -> Iterator[None]:
    """Serve the page of the settings' database while entered, in threads and on connections of its own.

    Of several databases it is the one of the database URL. Without a port nothing is served, nor imported.

    Args:
        settings: Of the worker.
        load: Reads them; who may sign in is read anew every few seconds.
        logger: Gets who signed in, who did what, and what failed.

    Raises:
        ConfigError: It cannot be served: what it needs is not installed, nobody could sign in, the port is taken.
    """
    port = settings.web_port
    if port is None:
        yield
        return
    with ExitStack() as stack:
        try:
            server = _server(settings, port, load, logger, stack)
            server.start()
        except ConfigError as error:
            raise ConfigError(f"{error}; or take AFILSQL_WEB_PORT away, and the worker serves no page") from None
        stack.callback(server.stop)
        yield


def _server(settings: Settings, port: int, load: Callable[[], Settings], logger: Logger, stack: ExitStack) -> WebServer:
    from afilsql import web

    web.require()
    from afilsql.outbox.browse import open_browser
    from afilsql.web.server import WebServer

    browser = stack.enter_context(open_browser(settings.database_url))
    return WebServer(browser, lambda: load().web.model_copy(update={"port": port}), logger)
