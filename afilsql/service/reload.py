"""Settings read anew by a running worker: what may change does, what may not is said, what is wrong changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from zoneinfo import ZoneInfo

from afilsql.accounts import AccountFields
from afilsql.clients import Clients
from afilsql.config import Settings
from afilsql.delivery.caller import ReadBackSettings
from afilsql.delivery.limits import Breaker, Rate
from afilsql.delivery.terms import Terms
from afilsql.errors import AfilsqlError, ConfigError
from afilsql.logs import Logger, Threshold
from afilsql.outbox.records import Account
from afilsql.service.watchers import Manager
from afilsql.websettings import WebSettings

#: Settings that a running worker takes anew; every other one takes a restart.
CHANGEABLE = frozenset(
    {
        *AccountFields.model_fields,
        *("accounts", "concurrency", "account_concurrency", "breaker_calls", "breaker_share", "grace_seconds"),
        *("on_unknown", "read_back_after", "read_back_settle", "api_time_zone", "connect_timeout", "read_timeout"),
        *("allow_http", "ca_bundle", "client_cert", "client_key", "proxy", "log_level"),
    }
)


def terms_of(settings: Settings, clients: Clients) -> Terms:
    """Return the terms that settings give a worker."""
    accounts = {name: settings.credentials(name) for name in settings.configured}
    return Terms(
        client_for=clients,
        concurrency=settings.concurrency,
        grace_seconds=settings.grace_seconds,
        on_unknown=settings.on_unknown,
        read_back=ReadBackSettings(
            settings.read_back_after, settings.read_back_settle, ZoneInfo(settings.api_time_zone)
        ),
        share=settings.share,
        rates={name: Rate(given.rate, given.burst) for name, given in accounts.items() if given.rate is not None},
        breaker=Breaker(settings.breaker_calls, settings.breaker_share),
        accounts=[Account(name, given.platforms or ()) for name, given in accounts.items()],
    )


def require_account(settings: Settings) -> None:
    """Refuse settings without any account. Raises ConfigError."""
    if not settings.configured:
        raise ConfigError("no account has credentials: set AFILSQL_USER and AFILSQL_PASSWORD, or [accounts.NAME]")


class Reloader:
    """Reads the settings anew when asked, in a thread of its own, and has a worker adopt them.

    Args:
        settings: Those the worker has.
        load: Reads them; raises ConfigError.
        clients_for: Makes the clients of settings and refuses what cannot work; raises AfilsqlError.
        adopt: Gives a worker its new terms.
        threshold: Of the log.
        manager: Told of the beginning and the end.
        logger: Says what changed, what takes a restart, or why nothing changed. No value is told.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        load: Callable[[], Settings],
        clients_for: Callable[[Settings], Clients],
        adopt: Callable[[Terms], None],
        threshold: Threshold,
        manager: Manager,
        logger: Logger,
    ) -> None:
        self._settings = settings
        self._load = load
        self._clients_for = clients_for
        self._adopt = adopt
        self._threshold = threshold
        self._manager = manager
        self._logger = logger
        self._asked: SimpleQueue[bool] = SimpleQueue()
        threading.Thread(target=self._run, name="reload", daemon=True).start()

    def ask(self) -> None:
        """Have the settings read soon. Safe in a signal handler."""
        self._asked.put(True)

    def close(self) -> None:
        """Read nothing more."""
        self._asked.put(False)

    def _run(self) -> None:
        while self._asked.get():
            self._manager.reloading()
            try:
                self._reload()
            except AfilsqlError as error:
                self._refuse(str(error))
            except Exception as error:  # noqa: BLE001 - nothing that settings bring about may end the worker's reloads
                self._refuse(f"unexpected {type(error).__name__}")
            self._manager.reloaded()

    def _reload(self) -> None:
        given = self._load()
        require_account(given)
        before = self._settings
        differ = {name for name in Settings.model_fields if getattr(given, name) != getattr(before, name)}
        if before.web_port is None or _lasting(given.web) == _lasting(before.web):
            differ -= {"web"}
        kept = {name: getattr(before, name) for name in differ - CHANGEABLE}
        settings = given.model_copy(update=kept)
        # Made before anything changes: whatever is wrong with them is known by then.
        terms = terms_of(settings, self._clients_for(settings))
        self._adopt(terms)
        self._settings = settings
        self._threshold.level = settings.log_level
        self._manager.grace_seconds = settings.grace_seconds
        self._logger.info("settings_reloaded", changed=sorted(differ & CHANGEABLE))
        if kept:
            self._logger.warning("settings_kept", settings=sorted(kept), detail="they take a restart of the worker")

    def _refuse(self, why: str) -> None:
        self._logger.error("settings_refused", detail=f"{why}; the worker goes on with the settings it has")


def _lasting(web: WebSettings) -> WebSettings:
    """What the page beside a worker does not itself read anew."""
    return web.model_copy(update={"users": {}, "proxy_roles": {}})
