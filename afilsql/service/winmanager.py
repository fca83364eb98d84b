"""The service control manager of Windows: services of workers made, started, stopped and removed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from afilsql.errors import InvalidParameter, ServiceError
from afilsql.service.watchers import STOP_MARGIN
from afilsql.service.win32 import Win32

#: How Windows numbers these errors.
ACCESS_DENIED, NO_SUCH_SERVICE, NOT_ACTIVE, EXISTS, RUNS_ALREADY = 5, 1060, 1062, 1073, 1056
#: Seconds until Windows starts a worker again that failed, the last one from then on; counted anew after a day.
RECOVERY = (5, 30, 60)
FORGIVEN_AFTER = 86_400

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: Accounts that need no password: virtual ones, those built in, and group managed ones, which end in $.
_ACCOUNT = re.compile(r"NT SERVICE\\[^\\]+|NT AUTHORITY\\(LocalService|NetworkService)|[^\\]+\\[^\\]+\$", re.IGNORECASE)


class WindowsManager:
    """Services of workers on this machine.

    Args:
        win: pywin32.
        sleep: Waits so many seconds.
    """

    def __init__(self, win: Win32, sleep: Callable[[float], None] = time.sleep) -> None:
        self._win = win
        self._api = win.win32service
        self._sleep = sleep

    def install(self, name: str, command: str, *, account: str | None = None, grace_seconds: float = 30.0) -> None:
        r"""Make a service that starts by itself a while after Windows, and again when it fails.

        Args:
            name: The service's.
            command: Runs it.
            account: Whom it runs as; None is its own virtual account, NT SERVICE\NAME.
            grace_seconds: How long calls in flight may take when Windows shuts down.

        Raises:
            InvalidParameter: There is such a service, or the name or account cannot be used.
            ServiceError: Windows refused.
        """
        if not _NAME.fullmatch(name):
            raise InvalidParameter(f"the name {name!r} cannot be used: give letters, digits, '.', '_' and '-'")
        account = account or rf"NT SERVICE\{name}"
        if not _ACCOUNT.fullmatch(account):
            raise InvalidParameter(
                f"the account {account!r} would need a password, which is not kept here: give a group managed service "
                r"account (DOMAIN\name$), or leave --account out for the service's own NT SERVICE\NAME"
            )
        api = self._api
        with self._manager(api.SC_MANAGER_CONNECT | api.SC_MANAGER_CREATE_SERVICE, name) as manager:
            service = api.CreateService(
                *(manager, name, f"afilsql worker ({name})", api.SERVICE_ALL_ACCESS, api.SERVICE_WIN32_OWN_PROCESS),
                *(api.SERVICE_AUTO_START, api.SERVICE_ERROR_NORMAL, command, None, False, None, account, None),
            )
            try:
                self._configure(service, grace_seconds)
                self._win.win32evtlogutil.AddSourceToRegistry(name, self._win.servicemanager.__file__)
            except BaseException:
                api.DeleteService(service)  # half a service would be worse than none
                raise
            finally:
                api.CloseServiceHandle(service)

    def start(self, name: str) -> None:
        """Have it started. Raises InvalidParameter, ServiceError."""
        with self._service(name, self._api.SERVICE_START) as service:
            self._api.StartService(service, None)

    def stop(self, name: str, *, grace_seconds: float = 30.0) -> None:
        """Stop it gently, and wait until it has. Raises InvalidParameter, ServiceError."""
        api = self._api
        with self._service(name, api.SERVICE_STOP | api.SERVICE_QUERY_STATUS) as service:
            api.ControlService(service, api.SERVICE_CONTROL_STOP)
            self._wait_until_stopped(service, name, grace_seconds)

    def reload(self, name: str) -> None:
        """Have it read its settings anew. Raises InvalidParameter, ServiceError."""
        api = self._api
        with self._service(name, api.SERVICE_PAUSE_CONTINUE) as service:
            api.ControlService(service, api.SERVICE_CONTROL_PARAMCHANGE)

    def remove(self, name: str, *, grace_seconds: float = 30.0) -> None:
        """Stop it if it runs, and remove it. Raises InvalidParameter, ServiceError."""
        api = self._api
        with self._service(name, api.SERVICE_ALL_ACCESS) as service:
            if self._state(service) != api.SERVICE_STOPPED:
                api.ControlService(service, api.SERVICE_CONTROL_STOP)
                self._wait_until_stopped(service, name, grace_seconds)
            api.DeleteService(service)
        self._win.win32evtlogutil.RemoveSourceFromRegistry(name)

    def status(self, name: str) -> str:
        """Return how it does: running, stopped, starting or stopping. Raises InvalidParameter, ServiceError."""
        api = self._api
        words = {
            api.SERVICE_RUNNING: "running",
            api.SERVICE_STOPPED: "stopped",
            api.SERVICE_START_PENDING: "starting",
            api.SERVICE_STOP_PENDING: "stopping",
        }
        with self._service(name, api.SERVICE_QUERY_STATUS) as service:
            state = self._state(service)
            return words.get(state, f"in state {state}")

    def _configure(self, service: Any, grace_seconds: float) -> None:
        api = self._api
        actions = [(api.SC_ACTION_RESTART, seconds * 1000) for seconds in RECOVERY]
        for level, info in (
            (api.SERVICE_CONFIG_DESCRIPTION, "Delivers chat messages from a database through the Afilnet API."),
            (api.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, True),
            (
                api.SERVICE_CONFIG_FAILURE_ACTIONS,
                {"ResetPeriod": FORGIVEN_AFTER, "RebootMsg": "", "Command": "", "Actions": actions},
            ),
            # Also when it ends with an error and not only when it crashes.
            (api.SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, True),
            (api.SERVICE_CONFIG_PRESHUTDOWN_INFO, round((grace_seconds + STOP_MARGIN) * 1000)),
        ):
            api.ChangeServiceConfig2(service, level, info)

    def _state(self, service: Any) -> int:
        return int(self._api.QueryServiceStatus(service)[1])

    def _wait_until_stopped(self, service: Any, name: str, grace_seconds: float) -> None:
        for _ in range(round((grace_seconds + STOP_MARGIN) * 2)):
            if self._state(service) == self._api.SERVICE_STOPPED:
                return
            self._sleep(0.5)
        raise ServiceError(f"the service {name} was told to stop and still runs: see the event log")

    @contextmanager
    def _manager(self, access: int, name: str) -> Iterator[Any]:
        with self._explained(name):
            manager = self._api.OpenSCManager(None, None, access)
            try:
                yield manager
            finally:
                self._api.CloseServiceHandle(manager)

    @contextmanager
    def _service(self, name: str, access: int) -> Iterator[Any]:
        with self._manager(self._api.SC_MANAGER_CONNECT, name) as manager:
            service = self._api.OpenService(manager, name, access)
            try:
                yield service
            finally:
                self._api.CloseServiceHandle(service)

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except self._api.error as error:
            number = getattr(error, "winerror", None)
            why = {
                ACCESS_DENIED: "only an administrator may do that: run it in an elevated prompt",
                NOT_ACTIVE: f"the service {name} does not run",
                RUNS_ALREADY: f"the service {name} runs already",
            }.get(number or 0)
            if number == EXISTS:
                raise InvalidParameter(f"there is a service {name} already: give another --name") from None
            if number == NO_SUCH_SERVICE:
                raise InvalidParameter(f"there is no service {name}: see --name") from None
            raise ServiceError(why or f"Windows refused: {getattr(error, 'strerror', error)} ({number})") from None
