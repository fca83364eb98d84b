"""An ASGI application on a port: its start, its end, and what goes wrong with either."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading

import pytest
import uvicorn

from afilsql import asgi
from afilsql.errors import ConfigError

#: A process that serves, and sends itself a signal before its server has begun to look for any.
EARLY = """
import os, signal, uvicorn
from afilsql import asgi
from starlette.applications import Starlette
listener = asgi.listen("127.0.0.1", 0, "it", "do otherwise")
config = uvicorn.Config(Starlette(), log_level="warning", lifespan="off")
asgi.serve(config, listener, lambda: os.kill(os.getpid(), signal.{}))
print("ended")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are delivered the POSIX way")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_comes_before_the_server_looks_for_it_is_not_lost(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EARLY.format(name)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")


@pytest.mark.filterwarnings("ignore:coroutine 'Server.serve' was never awaited")
def test_a_server_that_does_not_start_is_an_error_a_line_in_the_log_and_leaves_no_thread_or_socket(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = asgi.listen("127.0.0.1", 0, "it", "do otherwise")
    config = uvicorn.Config("no.such:thing", loop="no.such:loop", log_config=None)
    with pytest.raises(ConfigError, match="did not start"):
        asgi.ServerThread(config, listener, name="broken")
    assert not [thread for thread in threading.enumerate() if thread.name == "broken"]
    assert listener.fileno() == -1
    (record,) = [r for r in caplog.records if r.name == "afilsql.asgi"]
    assert record.levelno == logging.ERROR


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ConfigError, match=rf"it cannot listen on 127\.0\.0\.1:{port} .*: do otherwise"):
        asgi.listen("127.0.0.1", port, "it", "do otherwise")


def test_it_listens_without_the_delay_of_small_answers() -> None:
    with asgi.listen("127.0.0.1", 0, "it", "do otherwise") as listener:
        assert listener.proto == socket.IPPROTO_TCP, "asyncio turns the delay off only where the protocol is named"


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert asgi.url_of("::1", 80, "https") == "https://[::1]:80"
    assert asgi.url_of("127.0.0.1", 80) == "http://127.0.0.1:80"
