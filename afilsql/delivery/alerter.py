"""Sends alerts to a command and to a web address, in a thread that delivery never waits for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import requests

from afilsql import plain
from afilsql.api.connections import ConnectError
from afilsql.api.sessions import new_session
from afilsql.delivery.alerts import Alert, Watch
from afilsql.delivery.events import Event

#: Seconds one alert may take, at one hook.
TIMEOUT = 10.0
#: Alerts that wait for the thread; what comes beyond is counted in the next.
MOST_WAITING = 100
#: Seconds in which a failing hook is told of once at most.
QUIET_FAILURES = 60.0


class Hook(Protocol):
    """Where alerts go."""

    name: str

    def send(self, alert: Mapping[str, Any]) -> str | None:
        """Send one alert, within the time-out; return what went wrong, in words without secrets, None if nothing."""

    def abandon(self) -> None:
        """End a `send` that runs in another thread."""


class CommandHook:
    """Runs a command for each alert, which it reads from standard input as one JSON object.

    It runs without a shell and without the AFILSQL_ variables of the environment, some of which are secrets. What it
    prints is not read. After the time-out it is killed, on POSIX with all the processes it has started.

    Args:
        command: Program and arguments.
        timeout: Seconds it may take.
        environ: Environment variables; None takes the process's.
    """

    name = "alert_command"

    def __init__(
        self, command: Sequence[str], *, timeout: float = TIMEOUT, environ: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._timeout = timeout
        inherited = os.environ if environ is None else environ
        self._environ = {k: v for k, v in inherited.items() if not k.upper().startswith("AFILSQL_")}
        self._process: subprocess.Popen[bytes] | None = None

    def send(self, alert: Mapping[str, Any]) -> str | None:
        """See Hook."""
        try:
            process = subprocess.Popen(  # noqa: S603 - the administrator's own command, and no shell
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environ,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return f"cannot be started ({getattr(error, 'strerror', None) or type(error).__name__})"
        self._process = process
        try:
            process.communicate(json.dumps(alert).encode("ascii") + b"\n", timeout=self._timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=1)
            return f"was killed after {self._timeout:g} s"
        finally:
            self._process = None
        return f"ended with {process.returncode}" if process.returncode else None

    def abandon(self) -> None:
        """See Hook."""
        process = self._process
        if process is not None and process.returncode is None:
            _kill(process)


class UrlHook:
    """Posts each alert as a JSON object to a web address; redirects are not followed.

    Args:
        url: The address. It may hold a token, and is never told.
        timeout: Seconds the whole may take, but for the resolution of its name.
        verify: True, or the path of a file with the certificates to trust.
    """

    name = "alert_url"

    def __init__(self, url: str, *, timeout: float = TIMEOUT, verify: bool | str = True) -> None:
        self._url = url
        self._timeout = (timeout / 2, timeout / 2)
        self._verify = verify
        self._session = new_session(1)

    def send(self, alert: Mapping[str, Any]) -> str | None:
        """See Hook."""
        try:
            with self._session.post(
                self._url, json=alert, timeout=self._timeout, verify=self._verify, allow_redirects=False, stream=True
            ) as response:
                status = response.status_code
        except ConnectError as error:
            return f"cannot be reached: {error}"
        except requests.Timeout:
            return f"did not answer within {self._timeout[1]:g} s"
        except (OSError, ValueError) as error:
            return f"did not answer ({type(error).__name__})"
        return None if 200 <= status < 300 else f"answered HTTP {status}"

    def abandon(self) -> None:
        """See Hook. A thread that waits for an answer holds nothing that outlives the process."""


@dataclass(slots=True)
class _Failures:
    """Of one hook: when it may be told of again, and how many were not told."""

    quiet_until: float = float("-inf")
    untold: int = 0


class Alerter:
    """Watches a worker's events and has its hooks tell a person.

    Args:
        hooks: Where alerts go.
        worker: The worker's name, part of each alert.
        on_failure: Told that a hook failed: its name, why, and failures not told since; at most once a minute a hook.
        monotonic: Seconds that never go back.
        clock: The time now (UTC).
    """

    def __init__(
        self,
        hooks: Sequence[Hook],
        *,
        worker: str,
        on_failure: Callable[[str, str, int], None],
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._hooks = hooks
        self._worker = plain.escaped(worker)
        self._on_failure = on_failure
        self._monotonic = monotonic
        self._clock = clock
        self._watches: dict[str, Watch] = {}
        self._waiting: deque[tuple[Alert, str]] = deque()
        self._dropped = 0
        self._closing = False
        self._failures = {hook.name: _Failures() for hook in hooks}
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        if hooks:
            self._thread.start()

    def notice(self, event: Event, database: str = "") -> None:
        """Take note of an event of a database, which is named where the process serves several; returns at once."""
        if not self._hooks:
            return
        with self._changed:
            watch = self._watches.setdefault(database, Watch())
            self._add(watch.see(event, self._monotonic(), self._clock()), database)
            self._changed.notify()

    def close(self, timeout: float) -> None:
        """Let waiting alerts go out, `timeout` seconds at most, then end what still runs."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if not self._hooks:
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            for hook in self._hooks:
                hook.abandon()

    def _add(self, alerts: Sequence[Alert], database: str) -> None:
        for alert in alerts:
            if len(self._waiting) >= MOST_WAITING:
                self._dropped += 1
            else:
                self._waiting.append((alert, database))

    def _run(self) -> None:
        while (found := self._next()) is not None:
            for hook in self._hooks:
                try:
                    why = hook.send(self._as_values(*found))
                except Exception as error:  # noqa: BLE001 - one bad alert must not end the next ones
                    why = f"failed ({type(error).__name__})"
                if why is not None:
                    self._note_failure(hook.name, why)

    def _next(self) -> tuple[Alert, str] | None:
        """Wait for an alert to send, and its database; None once closed and none waits."""
        with self._changed:
            while True:
                for database, watch in self._watches.items():
                    self._add(watch.due(self._monotonic()), database)
                if self._waiting:
                    alert, database = self._waiting.popleft()
                    dropped, self._dropped = self._dropped, 0
                    return replace(alert, left_out=alert.left_out + dropped), database
                if self._closing:
                    return None
                times = [at for watch in self._watches.values() if (at := watch.next_due()) is not None]
                due = min(times, default=None)
                self._changed.wait(None if due is None else max(0.0, due - self._monotonic()))

    def _as_values(self, alert: Alert, database: str) -> dict[str, Any]:
        at = alert.at or self._clock()
        of = f", database {plain.escaped(database)}" if database else ""
        return {
            "alert": alert.kind,
            "text": f"afilsql, worker {self._worker}{of}: {alert.text}",
            "worker": self._worker,
            "database": plain.escaped(database) or None,
            "account": alert.account,
            "at": at.isoformat(timespec="seconds"),
            "left_out": alert.left_out,
            **{k: v for k, v in alert.values.items() if v is not None},
        }

    def _note_failure(self, name: str, why: str) -> None:
        failures, now = self._failures[name], self._monotonic()
        if now < failures.quiet_until:
            failures.untold += 1
            return
        self._on_failure(name, why, failures.untold)
        self._failures[name] = _Failures(now + QUIET_FAILURES)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group, with the group."""
    with suppress(OSError):
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
