"""The Windows service, with stand-ins for pywin32: nothing here ran on Windows."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from afilsql.cli import winservice
from afilsql.cli.context import State
from afilsql.delivery import events
from afilsql.deploy import migrate
from afilsql.errors import InvalidParameter, ServiceError
from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from afilsql.service import win32
from afilsql.service.win32 import Win32
from afilsql.service.windows import WARNINGS_A_MINUTE, EventLog, WindowsService, host
from afilsql.service.winmanager import WindowsManager
from tests.patience import PATIENCE
from tests.unit.pywin32 import Refused, pywin32
from tests.unit.test_worker import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def win() -> Win32:
    return pywin32()


def states(win: Win32) -> list[int]:
    """The states Windows was told, each once."""
    told = [status[1] for _, status in win.win32service.called("SetServiceStatus")]
    return [state for n, state in enumerate(told) if n == 0 or told[n - 1] != state]


def logged(win: Win32, kind: str) -> list[str]:
    return [text for (text,) in win.servicemanager.called(f"Log{kind}Msg")]


def test_the_package_is_well_typed_for_windows() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--platform", "win32"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="it is for other systems")
def test_elsewhere_than_on_windows_that_is_said() -> None:
    with pytest.raises(ServiceError, match="not Windows"):
        win32.load()


class Loop:
    """Stands for the worker: begins, waits until it is told to stop."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.begun = threading.Event()
        self.reloads = 0
        self.fails: ServiceError | None = None

    def __call__(self, *, control: Any, watcher: WindowsService, sink: EventLog) -> None:
        if self.fails is not None:
            raise self.fails
        watcher.beat()
        control(self.stopped.set, self._reload)
        watcher.notice(events.Ready())
        watcher.beat()
        self.begun.set()
        assert self.stopped.wait(PATIENCE)
        watcher.beat()

    def _reload(self) -> None:
        self.reloads += 1


@pytest.mark.parametrize("control", ["STOP", "SHUTDOWN", "PRESHUTDOWN"])
def test_the_service_runs_until_windows_stops_it_or_shuts_down(win: Win32, control: str) -> None:
    api, loop = win.win32service, Loop()
    service = WindowsService(win, "afilsql", loop)
    thread = threading.Thread(target=service.run)
    thread.start()
    assert loop.begun.wait(PATIENCE)
    service.handle(getattr(api, f"SERVICE_CONTROL_{control}"))
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert states(win) == [api.SERVICE_START_PENDING, api.SERVICE_RUNNING, api.SERVICE_STOP_PENDING]
    assert [text.split(": ")[1][:16] for text in logged(win, "Info")] == [
        "the worker has s",
        "the worker deliv",
        "the worker has s",
    ]
    assert win.servicemanager.called("RegisterServiceCtrlHandler") == [("afilsql", service.handle, True)]


def test_a_service_that_starts_or_stops_shows_that_it_moves_and_accepts_controls_only_when_it_can(win: Win32) -> None:
    api, loop = win.win32service, Loop()
    service = WindowsService(win, "afilsql", loop)
    thread = threading.Thread(target=service.run)
    thread.start()
    assert loop.begun.wait(PATIENCE)
    service.handle(api.SERVICE_CONTROL_INTERROGATE)
    service.handle(api.SERVICE_CONTROL_STOP)
    service.beat()
    thread.join(PATIENCE)
    told = [status for _, status in api.called("SetServiceStatus")]
    for kind, state, controls, _, _, step, hint in told:
        assert kind == api.SERVICE_WIN32_OWN_PROCESS
        assert bool(controls) == (state != api.SERVICE_START_PENDING)
        assert bool(step) == bool(hint) == (state != api.SERVICE_RUNNING)
    for state in (api.SERVICE_START_PENDING, api.SERVICE_STOP_PENDING):
        steps = [status[5] for status in told if status[1] == state]
        assert len(steps) >= 2
        assert steps == sorted(set(steps)), "each tells of progress"


def test_stopped_before_its_loop_begins_the_service_never_runs(win: Win32) -> None:
    api, loop = win.win32service, Loop()
    service = WindowsService(win, "afilsql", loop)
    service.handle(api.SERVICE_CONTROL_STOP)
    service.run()
    assert api.SERVICE_RUNNING not in states(win)
    assert loop.stopped.is_set()


def test_a_change_of_parameters_has_the_settings_read_anew(win: Win32) -> None:
    api, loop = win.win32service, Loop()
    service = WindowsService(win, "afilsql", loop)
    service.handle(api.SERVICE_CONTROL_PARAMCHANGE)
    thread = threading.Thread(target=service.run)
    thread.start()
    assert loop.begun.wait(PATIENCE)
    service.handle(api.SERVICE_CONTROL_PARAMCHANGE)
    service.handle(api.SERVICE_CONTROL_STOP)
    thread.join(PATIENCE)
    assert loop.reloads == 1


def test_a_worker_that_fails_is_logged_and_raised_so_that_windows_starts_it_again(win: Win32) -> None:
    loop = Loop()
    loop.fails = ServiceError("no account has credentials (exit code 3)")
    with pytest.raises(ServiceError):
        WindowsService(win, "afilsql", loop).run()
    assert logged(win, "Error") == ["afilsql: the worker failed. no account has credentials (exit code 3)"]
    assert win.win32service.SERVICE_RUNNING not in states(win)


def test_warnings_and_errors_go_to_the_event_log_and_a_flood_of_warnings_is_counted(win: Win32) -> None:
    now = [0.0]
    log = EventLog(win.servicemanager, lambda: now[0])
    lines = [json.dumps({"event": "x", "level": level}) for level in ("debug", "info", "warning", "error")]
    log.write("\n".join(lines) + "\nnot json\n")
    assert (logged(win, "Warning"), logged(win, "Error")) == ([lines[2]], [lines[3]])
    log.write(f"{lines[2]}\n" * 100)
    log.write(lines[3])
    assert (len(logged(win, "Warning")), len(logged(win, "Error"))) == (WARNINGS_A_MINUTE, 2)
    now[0] += 61
    log.write(lines[2])
    assert logged(win, "Warning")[-2:] == ["71 more warnings within a minute were left out", lines[2]]


def test_the_process_hosts_one_service_and_runs_it_when_windows_says_so(win: Win32) -> None:
    loop, made = Loop(), list[Any]()
    loop.stopped.set()
    win.servicemanager.does["PrepareToHostSingle"] = made.append
    win.servicemanager.does["StartServiceCtrlDispatcher"] = lambda: made[0](["afilsql"]).SvcRun()
    host(win, "afilsql", loop)
    assert loop.begun.is_set()
    assert win.servicemanager.called("SetEventSourceName") == [("afilsql",)]


def test_a_person_who_runs_the_service_command_is_told_what_to_run(win: Win32) -> None:
    def refuse() -> None:
        raise Refused(1063)

    win.servicemanager.does["StartServiceCtrlDispatcher"] = refuse
    with pytest.raises(ServiceError, match="afilsql service start"):
        host(win, "afilsql", Loop())


# Making, starting, stopping, removing.


@pytest.fixture
def manager(win: Win32) -> WindowsManager:
    return WindowsManager(win, sleep=lambda seconds: None)


def test_install_makes_a_delayed_automatic_service_with_recovery_and_an_event_source(win, manager) -> None:
    api = win.win32service
    manager.install("afilsql", "python -m afilsql", grace_seconds=30)
    (made,) = api.called("CreateService")
    assert made[1:] == (
        *("afilsql", "afilsql worker (afilsql)", api.SERVICE_ALL_ACCESS, api.SERVICE_WIN32_OWN_PROCESS),
        *(api.SERVICE_AUTO_START, api.SERVICE_ERROR_NORMAL, "python -m afilsql", None, False, None),
        *(r"NT SERVICE\afilsql", None),
    )
    set_to = {level: info for _, level, info in api.called("ChangeServiceConfig2")}
    assert set_to[api.SERVICE_CONFIG_DELAYED_AUTO_START_INFO] is True
    assert set_to[api.SERVICE_CONFIG_FAILURE_ACTIONS_FLAG] is True
    actions = set_to[api.SERVICE_CONFIG_FAILURE_ACTIONS]
    assert actions["ResetPeriod"] == 24 * 60 * 60
    assert actions["Actions"] == [(api.SC_ACTION_RESTART, ms) for ms in (5_000, 30_000, 60_000)]
    assert set_to[api.SERVICE_CONFIG_PRESHUTDOWN_INFO] > 30_000
    assert win.win32evtlogutil.called("AddSourceToRegistry") == [("afilsql", win.servicemanager.__file__)]
    assert len(api.called("CloseServiceHandle")) == 2


def test_half_a_service_is_not_left_behind(win, manager) -> None:
    def refuse(*_: object) -> None:
        raise Refused(5)

    win.win32evtlogutil.does["AddSourceToRegistry"] = refuse
    with pytest.raises(ServiceError, match="elevated"):
        manager.install("afilsql", "x")
    assert win.win32service.called("DeleteService") == [("<CreateService>",)]


@pytest.mark.parametrize("account", [r"CORP\afilsql$", r"NT AUTHORITY\LocalService", r"nt service\other"])
def test_accounts_without_a_password_are_taken(win, manager, account: str) -> None:
    manager.install("afilsql", "x", account=account)
    assert win.win32service.called("CreateService")[0][-2:] == (account, None)


@pytest.mark.parametrize(
    ("name", "account"), [("a b", None), ("", None), ("a", r"CORP\ana"), ("a", "LocalSystem"), ("a", r".\ana")]
)
def test_other_names_and_accounts_are_refused(win, manager, name: str, account: str | None) -> None:
    with pytest.raises(InvalidParameter):
        manager.install(name, "x", account=account)
    assert win.win32service.calls == []


@pytest.mark.parametrize(
    ("number", "error", "why"),
    [
        (5, ServiceError, "elevated"),
        (1060, InvalidParameter, "no service afilsql"),
        (1062, ServiceError, "does not run"),
        (1056, ServiceError, "runs already"),
        (1073, InvalidParameter, "already"),
        (1450, ServiceError, r"refused: no \(1450\)"),
    ],
)
def test_what_windows_refuses_is_explained(win, manager, number: int, error: type[Exception], why: str) -> None:
    def refuse(*_: object) -> None:
        raise Refused(number)

    win.win32service.does["OpenService"] = refuse
    for act in (manager.start, manager.stop, manager.remove, manager.reload, manager.status):
        with pytest.raises(error, match=why):
            act("afilsql")


def stopping_after(win: Win32, looks: int) -> Callable[[object], tuple[int, int]]:
    api, left = win.win32service, [looks]

    def state(_service: object) -> tuple[int, int]:
        left[0] -= 1
        return (0, api.SERVICE_STOPPED if left[0] < 0 else api.SERVICE_STOP_PENDING)

    return state


def test_stop_waits_until_the_service_has_stopped_and_remove_stops_it_first(win, manager) -> None:
    api = win.win32service
    for act in (manager.stop, manager.remove):
        api.does["QueryServiceStatus"] = stopping_after(win, 3)
        api.calls.clear()
        act("afilsql")
        assert api.called("ControlService") == [("<OpenService>", api.SERVICE_CONTROL_STOP)]
    assert [name for name, _ in api.calls].index("DeleteService") > [n for n, _ in api.calls].index("ControlService")
    assert win.win32evtlogutil.called("RemoveSourceFromRegistry") == [("afilsql",)]
    api.does["QueryServiceStatus"] = stopping_after(win, 10_000)
    with pytest.raises(ServiceError, match="still runs"):
        manager.stop("afilsql")


def test_a_service_that_does_not_run_is_removed_without_being_stopped(win, manager) -> None:
    win.win32service.does["QueryServiceStatus"] = stopping_after(win, 0)
    assert manager.status("afilsql") == "stopped"
    manager.remove("afilsql")
    assert win.win32service.called("ControlService") == []


# The commands, and the same worker as `afilsql worker` behind them.


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "afilsql.toml"
    file.touch(0o600)
    url = f"sqlite:///{(tmp_path / 'outbox.db').as_posix()}"
    migrate(url)
    file.write_text(f'database_url = "{url}"\nuser = "demo"\npassword = "demo"\non_unknown = "hold"\n', "utf-8")
    return file


def commands(win: Win32) -> typer.Typer:
    app = typer.Typer()
    winservice.add(app, lambda: win)
    return app


def test_install_names_the_settings_in_the_command_and_how_to_guard_them(win: Win32, settings: Path) -> None:
    done = CliRunner().invoke(commands(win), ["install", "--config", str(settings), "--now"], obj=State())
    assert done.exit_code == 0, done.output
    command = win.win32service.called("CreateService")[0][7]
    assert command == f"{sys.executable} -m afilsql --config {settings} service run --name afilsql"
    assert f'icacls "{settings}"' in done.output
    assert len(win.win32service.called("StartService")) == 1


def test_install_without_settings_or_with_wrong_ones_is_refused(win: Win32, settings: Path) -> None:
    settings.write_text("concurrency = 0\n")
    for options in ([], ["--config", str(settings)]):
        done = CliRunner().invoke(commands(win), ["install", *options], obj=State())
        assert done.exit_code != 0
    assert win.win32service.calls == []


def test_the_service_delivers_as_afilsql_worker_does_and_stops_gently(win: Win32, settings: Path) -> None:
    api, made = win.win32service, list[Any]()
    win.servicemanager.does["PrepareToHostSingle"] = made.append
    handlers: list[Any] = []
    win.servicemanager.does["RegisterServiceCtrlHandler"] = lambda name, handler, extra: handlers.append(handler)
    win.servicemanager.does["StartServiceCtrlDispatcher"] = lambda: made[0](["afilsql"]).SvcRun()
    url = next(line.split('"')[1] for line in settings.read_text().splitlines() if "sqlite" in line)
    with SandboxServer() as sandbox, open_outbox(url) as outbox:
        settings.write_text(settings.read_text() + f'api_url = "{sandbox.url}"\n')
        chat = {"platform": "whatsapp", "platformid": "100", "destination": "34600000000", "message": "hi"}
        outbox.enqueue(Request("sendmessage", chat))
        results: list[Any] = []
        run = ["run", "--name", "afilsql"]
        thread = threading.Thread(
            target=lambda: results.append(CliRunner().invoke(commands(win), run, obj=State(settings)))
        )
        thread.start()
        wait_for(lambda: outbox.status().counts["sent"] == 1)
        handlers[0](api.SERVICE_CONTROL_STOP)
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert results[0].exit_code == 0, results[0].exception
    assert states(win) == [api.SERVICE_START_PENDING, api.SERVICE_RUNNING, api.SERVICE_STOP_PENDING]
    assert any("delivers" in text for text in logged(win, "Info"))
    assert logged(win, "Error") == []


def test_wrong_settings_end_the_service_with_the_reason_in_the_event_log(win: Win32, settings: Path) -> None:
    made = list[Any]()
    settings.write_text("concurrency = 0\n")
    win.servicemanager.does["PrepareToHostSingle"] = made.append
    win.servicemanager.does["StartServiceCtrlDispatcher"] = lambda: made[0](["afilsql"]).SvcRun()
    done = CliRunner().invoke(commands(win), ["run"], obj=State(settings))
    assert done.exit_code != 0
    (said,) = logged(win, "Error")
    assert "concurrency" in said
    assert "(exit code 3)" in said
