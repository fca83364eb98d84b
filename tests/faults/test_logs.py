"""A worker delivers everything whatever becomes of its log, and no message's text gets into it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from afilsql.deploy import migrate
from afilsql.outbox import open_outbox
from afilsql.outbox.records import Request
from afilsql.sandbox import SandboxServer
from tests.faults.processes import environment
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pipes of a set size and /dev/full")

COMMAND = [sys.executable, "-m", "afilsql", "worker", "--drain"]
CANARY = "Zephyr4711 tells nobody"


@pytest.fixture
def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    migrate(url)
    return url


@contextmanager
def started(stderr: int, environ: dict[str, str], command: list[str] = COMMAND) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker on this standard error; it does not outlive the block."""
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def fill(database: str, rows: int = 500, message: str = "message") -> None:
    with open_outbox(database) as outbox:
        outbox.enqueue_many([request(n, f"{message} {n}") for n in range(rows)])


def request(number: int, message: str) -> Request:
    chat = {"platform": "whatsapp", "platformid": "100", "destination": f"346000{number:05}"}
    return Request("sendmessage", {**chat, "message": message})


def delivered(database: str, api: SandboxServer, rows: int = 500) -> bool:
    with open_outbox(database) as outbox:
        return outbox.status().counts["sent"] == rows == len(api.received)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the worker ended early"
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.005)


def test_a_pipe_that_nobody_reads_stops_no_worker(database: str) -> None:
    fill(database)
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    try:
        with SandboxServer() as api, started(writing, environment(database, api.url)) as process:
            os.close(writing)
            assert process.wait(PATIENCE) == 0
            assert delivered(database, api)
        assert len(os.read(reading, 1_000_000)) > size - 1000, "it was full"
    finally:
        os.close(reading)


def test_a_pipe_that_is_read_again_gets_whole_lines_and_how_many_were_lost(database: str) -> None:
    fill(database, 8000)
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    got = bytearray()

    def read() -> None:
        while piece := os.read(reading, 65536):
            got.extend(piece)

    try:
        with SandboxServer() as api, started(writing, environment(database, api.url)) as process:
            os.close(writing)
            wait_for(lambda: len(api.received) > 6500, process)
            reader = threading.Thread(target=read)
            reader.start()
            assert process.wait(PATIENCE) == 0
            reader.join(PATIENCE)
            assert delivered(database, api, 8000)
    finally:
        os.close(reading)
    lines = [json.loads(line) for line in got.decode().splitlines()]
    lost = [line["lines"] for line in lines if line["event"] == "log_lines_lost"]
    assert len(lost) >= 1
    # Started, ready, ended, and one line a request.
    assert sum(lost) + len(lines) - len(lost) == 8003
    assert (lines[0]["event"], lines[-1]["event"]) == ("worker_started", "worker_ended")


def test_a_full_disk_stops_no_worker(database: str) -> None:
    fill(database)
    with Path("/dev/full").open("wb") as full, SandboxServer() as api:
        with started(full.fileno(), environment(database, api.url)) as process:
            assert process.wait(PATIENCE) == 0
        assert delivered(database, api)


def test_a_log_closed_by_its_reader_in_the_middle_stops_no_worker(database: str) -> None:
    fill(database)
    reading, writing = os.pipe()
    with SandboxServer(latency=0.01) as api, started(writing, environment(database, api.url)) as process:
        os.close(writing)
        wait_for(lambda: len(api.received) > 50, process)
        os.close(reading)
        assert process.wait(PATIENCE) == 0
        assert delivered(database, api)


def test_a_worker_without_standard_error_delivers(database: str) -> None:
    fill(database, 20)
    closed = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *COMMAND]
    with SandboxServer() as api, started(subprocess.DEVNULL, environment(database, api.url), closed) as process:
        assert process.wait(PATIENCE) == 0
        assert delivered(database, api, 20)


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: its keyboard and screen, and the end a process gets."""
    screen, end = pty.openpty()
    termios.tcsetwinsize(screen, (24, 120))
    try:
        yield screen, end
    finally:
        os.close(screen)


def on_terminal(database: str, api: SandboxServer) -> dict[str, str]:
    return environment(database, api.url, AFILSQL_LOG_FORMAT="auto", TERM="xterm")


def test_a_halted_terminal_stops_no_worker(database: str) -> None:
    fill(database)
    with terminal() as (_, end), SandboxServer() as api:
        termios.tcflow(end, termios.TCOOFF)  # what Ctrl+S does
        with started(end, on_terminal(database, api)) as process:
            os.close(end)
            assert process.wait(PATIENCE) == 0
            assert delivered(database, api)


def test_a_terminal_shows_the_log_above_a_line_with_the_counts_which_goes_in_the_end(database: str) -> None:
    with open_outbox(database) as outbox:
        outbox.enqueue_many([*(request(n, "hi") for n in range(100)), request(1, "[sandbox:500] hi")])
    with terminal() as (screen, end), SandboxServer(latency=0.05) as api:
        shown = bytearray()

        def read() -> None:
            try:
                while piece := os.read(screen, 65536):
                    shown.extend(piece)
            except OSError:
                pass  # the last process that had the terminal is gone

        with started(end, on_terminal(database, api)) as process:
            os.close(end)
            reader = threading.Thread(target=read)
            reader.start()
            assert process.wait(PATIENCE) == 0
            reader.join(PATIENCE)
    text = shown.decode()
    assert re.search(r"in flight \d+  sent \d+", text)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    (failed,) = re.findall(r"delivered .*code=HTTP_500.*", plain)
    assert "kind=uncertain" in failed
    assert "\x1b[2K" in text[text.rindex("in flight") :], "the line is erased in the end"
    assert "worker_ended" in plain
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1, "the cursor is there again"


def test_a_worker_that_ends_with_an_error_says_so_even_on_a_full_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"x")
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    (tmp_path / "not.db").write_bytes(b"no database" * 100)
    environ = environment(f"sqlite:///{tmp_path}/not.db", "http://127.0.0.1:9/")
    try:
        with started(writing, environ) as process:
            os.close(writing)
            assert process.wait(PATIENCE) == 4
    finally:
        os.close(reading)


@pytest.mark.parametrize("fault", ["", "[sandbox:503] ", "[sandbox:500] ", "[sandbox:close] ", "[sandbox:html] "])
def test_no_message_gets_into_the_log_at_any_level(database: str, fault: str) -> None:
    fill(database, 3, fault + CANARY)
    with SandboxServer() as api:
        text = log_of(database, api.url)
    assert "Zephyr4711" not in text
    assert text.count('"delivered"') >= 3


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "401 Unauthorized", "500 Internal Server Error"])
def test_no_message_gets_into_the_log_when_the_api_tells_it_back(database: str, status: str) -> None:
    fill(database, 1, CANARY)
    answer = json.dumps({"status": "ERROR", "error": f"MESSAGE_REFUSED: {CANARY} 0", "message": f"{CANARY} 0"})
    with telling(status, answer) as url:
        text = log_of(database, url)
    assert "Zephyr4711" not in text
    (line,) = (x for x in map(json.loads, text.splitlines()) if x["event"] == "delivered")
    assert line["kind"] in ("failed", "hold", "uncertain")


def log_of(database: str, api_url: str) -> str:
    done = subprocess.run(
        COMMAND, env=environment(database, api_url, AFILSQL_LOG_LEVEL="debug"), capture_output=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.decode() + done.stdout.decode()


@contextmanager
def telling(status: str, body: str) -> Iterator[str]:
    """An API that gives every call the same answer."""
    code, _, reason = status.partition(" ")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(int(code), reason)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
