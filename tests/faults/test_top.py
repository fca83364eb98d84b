"""`afilsql top` on a real pseudo-terminal: what it shows, what its keys do, and how it leaves the terminal behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

if os.name == "nt":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)

from afilsql.outbox import open_outbox
from afilsql.outbox.browse import open_browser
from afilsql.outbox.records import Request, Result
from tests.faults.connection_campaign import through
from tests.faults.processes import environment
from tests.faults.proxy import Plan, Proxy
from tests.faults.terminal import Terminal
from tests.faults.test_connection_cut import port_of
from tests.patience import PATIENCE

TOP = (sys.executable, "-m", "afilsql", "top", "--every", "0.2")
TEXT = "a text the view does not show"
ENTER_SCREEN, LEAVE_SCREEN, SHOW_CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


def fill(database: str, *, failed: int = 0, waiting: int = 0) -> None:
    chat = {"platform": "whatsapp", "platformid": "100", "message": TEXT}
    with open_outbox(database) as outbox:
        requests = [Request("sendmessage", chat | {"destination": f"34600{n}"}) for n in range(failed + waiting)]
        outbox.enqueue_many(requests[:failed])
        for claim in outbox.exchange("a-worker", take=failed).claims if failed else ():
            result = Result(
                claim.id, claim.lease_id, claim.attempt, "failed", datetime.now(UTC), error_code="CHAT_NOT_FOUND"
            )
            outbox.exchange("a-worker", results=[result])
        outbox.enqueue_many(requests[failed:])


def top(database: str, **size: int) -> Terminal:
    return Terminal(TOP, environment(database, "http://127.0.0.1:9/"), **size)


def is_paused(database: str) -> bool:
    with open_browser(database) as browser:
        return browser.overview().paused


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 60)])
def test_it_shows_the_queue_and_failures_and_no_message(empty_sqlite: str, columns: int, lines: int) -> None:
    fill(empty_sqlite, failed=2, waiting=3)
    with top(empty_sqlite, columns=columns, lines=lines) as terminal:
        text = terminal.wait(lambda t: "3 waiting" in t)
        for shown in ("default", "CHAT_NOT_FOUND", "a-worker", "346000", "q quit"):
            assert shown in text
        assert TEXT.encode() not in terminal.raw
        fill(empty_sqlite, waiting=4)
        terminal.wait(lambda t: "7 waiting" in t)


def test_p_pauses_and_r_resumes(empty_outbox: str) -> None:
    with top(empty_outbox) as terminal:
        terminal.wait(lambda t: "0 waiting" in t)
        terminal.press("p")
        terminal.wait(lambda t: "PAUSED" in t.splitlines()[0])
        assert is_paused(empty_outbox)
        terminal.press("r")
        terminal.wait(lambda t: "PAUSED" not in t.splitlines()[0])
        assert not is_paused(empty_outbox)


def test_a_failure_is_chosen_and_put_back_after_a_yes_and_not_before(empty_sqlite: str) -> None:
    fill(empty_sqlite, failed=2)
    with top(empty_sqlite) as terminal, open_outbox(empty_sqlite) as outbox:
        terminal.wait(lambda t: "346001" in t)
        terminal.press("\x1b[B")
        terminal.press("f")
        terminal.wait(lambda t: "Put request 1 back in the queue? (y/n)" in t)
        terminal.press("n")
        terminal.wait(lambda t: "q quit" in t)
        assert outbox.get(1).item.status == "failed"
        terminal.press("f")
        terminal.wait(lambda t: "(y/n)" in t)
        terminal.press("y")
        terminal.wait(lambda t: "Requeued 1 of 1." in t)
        assert [outbox.get(id).item.status for id in (1, 2)] == ["queued", "failed"]
        terminal.press("F")
        terminal.wait(lambda t: "Put 1 failed request" in t)
        terminal.press("y")
        terminal.wait(lambda t: "2 waiting" in t)


def end_by_key(terminal: Terminal) -> None:
    terminal.press("q")


def end_by_interrupt(terminal: Terminal) -> None:
    terminal.press("\x03")


def end_by_sigterm(terminal: Terminal) -> None:
    terminal.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(("end", "code"), [(end_by_key, 0), (end_by_interrupt, 130), (end_by_sigterm, 130)])
def test_however_it_ends_the_terminal_is_as_it_was(
    empty_sqlite: str, end: Callable[[Terminal], None], code: int
) -> None:
    with top(empty_sqlite) as terminal:
        terminal.wait(lambda t: "0 waiting" in t)
        assert terminal.attributes() != terminal.before, "keys are read one by one"
        end(terminal)
        assert terminal.ended() == code
        assert terminal.attributes() == terminal.before
        assert terminal.raw.rfind(LEAVE_SCREEN) > terminal.raw.rfind(ENTER_SCREEN) >= 0
        assert SHOW_CURSOR in terminal.raw
        assert b"Traceback" not in terminal.raw


def test_ctrl_z_does_not_leave_the_screen_behind(empty_sqlite: str) -> None:
    with top(empty_sqlite) as terminal:
        terminal.wait(lambda t: "0 waiting" in t)
        terminal.press("\x1a")
        fill(empty_sqlite, waiting=1)
        terminal.wait(lambda t: "1 waiting" in t)


@pytest.mark.tsql
def test_a_database_that_goes_away_is_told_and_its_return_seen(empty_tsql: str) -> None:
    with Proxy(port_of(empty_tsql)) as proxy, top(through(empty_tsql, proxy)) as terminal:
        terminal.wait(lambda t: "0 waiting" in t)
        proxy.plan = lambda _number: Plan("request", 0, "cut")
        proxy.cut_all()
        text = terminal.wait(lambda t: "Database away (last seen" in t)
        assert "0 waiting" in text
        proxy.plan = lambda _number: Plan()
        terminal.wait(lambda t: "Database away" not in t and "0 waiting" in t)
        terminal.press("q")
        assert terminal.ended() == 0


def run_off_terminal(database: str, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = environment(database, "http://127.0.0.1:9/") | {"COLUMNS": "100"} | more
    command = [sys.executable, "-m", "afilsql", "top", *options]
    return subprocess.run(
        command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
    )


def test_once_prints_one_frame_for_a_pipe(empty_sqlite: str) -> None:
    fill(empty_sqlite, failed=1, waiting=2)
    done = run_off_terminal(empty_sqlite, "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 waiting" in done.stdout and "CHAT_NOT_FOUND" in done.stdout
    assert "\x1b" not in done.stdout and "q quit" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_once_without_a_database_says_so_and_fails() -> None:
    url = "mssql+pyodbc://u:secret-one@127.0.0.1:9/d?timeout=1&Encrypt=no"
    done = run_off_terminal(url, "--once")
    assert done.returncode == 4
    assert "Database away" in done.stdout
    assert "secret-one" not in done.stdout + done.stderr


def test_without_a_terminal_it_asks_for_once(empty_sqlite: str) -> None:
    done = run_off_terminal(empty_sqlite)
    assert done.returncode == 2
    assert "--once" in done.stderr
