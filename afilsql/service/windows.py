"""The worker as a Windows service: what the service control manager asks and is told, and the event log."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from afilsql.delivery import events
from afilsql.delivery.events import Event
from afilsql.errors import ServiceError
from afilsql.service.watchers import STOP_MARGIN
from afilsql.service.win32 import Win32

#: Milliseconds within which a starting or stopping service must show that it moves.
WAIT_HINT = round(STOP_MARGIN * 1000)
#: Warnings a minute that go to the event log; of the others it is told how many there were.
WARNINGS_A_MINUTE = 30

Control = Callable[[Callable[[], None], Callable[[], None]], None]


class RunWorker(Protocol):
    """Runs a worker until it ends, as `afilsql worker` does. Raises ServiceError with the reason when it fails."""

    def __call__(self, *, control: Control, watcher: WindowsService, sink: EventLog) -> None: ...


class WindowsService:
    """One run of the service. Windows calls it from two threads: `run` in one, `handle` in the other.

    Args:
        win: pywin32.
        name: The service's.
        worker: Runs the worker.
    """

    def __init__(self, win: Win32, name: str, worker: RunWorker) -> None:
        self._api = win.win32service
        self._log = win.servicemanager
        self._name = name
        self._worker = worker
        self._lock = threading.Lock()
        self._state: int = self._api.SERVICE_START_PENDING
        self._step = 0
        self._stop: Callable[[], None] | None = None
        self._reload: Callable[[], None] | None = None
        self._stop_asked = False
        self._handle = self._log.RegisterServiceCtrlHandler(name, self.handle, True)

    def run(self) -> None:
        """Run the worker until the service is stopped.

        Raises:
            ServiceError: The worker failed; Windows then takes the recovery actions.
        """
        self._report(self._api.SERVICE_START_PENDING)
        try:
            self._worker(control=self._take_control, watcher=self, sink=EventLog(self._log))
        except ServiceError as error:
            self._log.LogErrorMsg(f"{self._name}: the worker failed. {error}")
            raise
        self._report(self._api.SERVICE_STOP_PENDING)
        self._log.LogInfoMsg(f"{self._name}: the worker has stopped; no call is in flight.")

    def handle(self, control: int, _event: int = 0, _data: object = None) -> None:
        """Do what Windows asks: stop gently, also for a shutdown; read the settings anew; tell the state."""
        api = self._api
        if control in (api.SERVICE_CONTROL_STOP, api.SERVICE_CONTROL_SHUTDOWN, api.SERVICE_CONTROL_PRESHUTDOWN):
            self._report(api.SERVICE_STOP_PENDING)
            with self._lock:
                self._stop_asked, stop = True, self._stop
            if stop is not None:
                stop()
        elif control == api.SERVICE_CONTROL_PARAMCHANGE:
            if self._reload is not None:
                self._reload()
        elif control == api.SERVICE_CONTROL_INTERROGATE:
            self._report(self._state)

    def beat(self) -> None:
        """Show that a service which starts or stops moves."""
        if self._state != self._api.SERVICE_RUNNING:
            self._report(self._state)

    def notice(self, event: Event) -> None:
        """Write to the event log that the worker works."""
        if isinstance(event, events.Ready):
            self._log.LogInfoMsg(f"{self._name}: the worker delivers; its first exchange with the database succeeded.")

    def _take_control(self, stop: Callable[[], None], reload: Callable[[], None]) -> None:
        """The worker's loop is about to begin: the service runs, whether the database is there or not."""
        with self._lock:
            self._stop, self._reload = stop, reload
            stopped_already = self._stop_asked
        if stopped_already:
            stop()
        else:
            self._report(self._api.SERVICE_RUNNING)
            self._log.LogInfoMsg(f"{self._name}: the worker has started.")

    def _report(self, state: int) -> None:
        api = self._api
        with self._lock:
            if self._state == api.SERVICE_STOP_PENDING:
                state = self._state  # there is no way back
            moving = state != api.SERVICE_RUNNING
            self._step = self._step + 1 if moving else 0
            self._state = state
            accepted = (
                api.SERVICE_ACCEPT_STOP
                | api.SERVICE_ACCEPT_SHUTDOWN
                | api.SERVICE_ACCEPT_PRESHUTDOWN
                | api.SERVICE_ACCEPT_PARAMCHANGE
            )
            controls = 0 if state == api.SERVICE_START_PENDING else accepted
            hint = WAIT_HINT if moving else 0
            api.SetServiceStatus(self._handle, (api.SERVICE_WIN32_OWN_PROCESS, state, controls, 0, 0, self._step, hint))


class EventLog:
    """Takes the worker's log, as JSON lines, and writes its warnings and errors to the event log.

    Args:
        log: pywin32's servicemanager.
        monotonic: Seconds that never go back.
    """

    every: float | None = None

    def __init__(self, log: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._minute_ends = float("-inf")
        self._warnings = self._untold = 0

    def write(self, text: str) -> None:
        """Write what matters of these lines."""
        for line in text.splitlines():
            level = ""
            with suppress(ValueError):
                level = json.loads(line).get("level", "")
            if level == "error":
                self._log.LogErrorMsg(line)
            elif level == "warning":
                self._warn(line)

    def tick(self) -> None:
        """Nothing is done now and then."""

    def close(self) -> None:
        """Tell what was left out."""
        self._tell_untold()

    def _warn(self, line: str) -> None:
        now = self._monotonic()
        if now >= self._minute_ends:
            self._tell_untold()
            self._minute_ends, self._warnings = now + 60, 0
        self._warnings += 1
        if self._warnings <= WARNINGS_A_MINUTE:
            self._log.LogWarningMsg(line)
        else:
            self._untold += 1

    def _tell_untold(self) -> None:
        if self._untold:
            self._log.LogWarningMsg(f"{self._untold} more warnings within a minute were left out")
            self._untold = 0


def host(win: Win32, name: str, worker: RunWorker) -> None:
    """Be the process of a service: Windows started it, and ends it when this returns.

    Raises:
        ServiceError: Windows did not start this process as a service.
    """

    class Hosted:
        """What pywin32 makes and runs when Windows says so."""

        def __init__(self, _arguments: object) -> None:
            self._service = WindowsService(win, name, worker)

        def SvcRun(self) -> None:  # noqa: N802 - pywin32 calls it so
            """Run the service."""
            self._service.run()

    log = win.servicemanager
    log.SetEventSourceName(name)
    log.Initialize(name, log.__file__)
    log.PrepareToHostSingle(Hosted)
    try:
        log.StartServiceCtrlDispatcher()
    except win.win32service.error:
        raise ServiceError(
            "only Windows runs this command: use `afilsql service start`, or `afilsql worker` to run one by hand"
        ) from None
