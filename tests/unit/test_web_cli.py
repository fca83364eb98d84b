"""`afilsql web`: as a process of its own, and the hash of a password."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from afilsql.config import load_settings
from afilsql.errors import ConfigError
from tests.patience import PATIENCE
from tests.web.site import HASH

PASSWORD = "correct horse battery"


def environment(folder: Path, web: str | None = None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")}
    kept |= {"AFILSQL_DATABASE_URL": f"sqlite:///{(folder / 'outbox.db').as_posix()}"}
    return kept | ({"AFILSQL_WEB": web} if web is not None else {})


def afilsql(
    folder: Path, *arguments: str, web: str | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "afilsql", *arguments]
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command, env=environment(folder, web), capture_output=True, text=True, timeout=PATIENCE, **options
    )


def test_the_page_is_served_until_it_is_told_to_stop(tmp_path: Path) -> None:
    web = f'{{"port": 0, "users": {{"ann": {{"password_hash": "{HASH}", "role": "operator"}}}}}}'
    command = [sys.executable, "-m", "afilsql", "web"]
    with subprocess.Popen(
        command, env=environment(tmp_path, web), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        assert requests.get(found[0] + "sign-in", timeout=PATIENCE).status_code == 200
        process.send_signal(signal.SIGTERM)
        out, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0 and "web_started" in log and "web_ended" in log
    assert "argon2" not in out + log


def test_without_users_it_says_how_to_make_one(tmp_path: Path) -> None:
    done = afilsql(tmp_path, "web")
    assert done.returncode == 3 and "afilsql web hash-password" in done.stderr


def test_an_address_that_others_reach_without_https_is_refused(tmp_path: Path) -> None:
    done = afilsql(tmp_path, "web", web='{"host": "0.0.0.0"}')
    assert done.returncode == 3 and "set cert and key, or behind_proxy" in done.stderr


def test_a_password_is_read_from_a_pipe_and_its_hash_printed_alone(tmp_path: Path) -> None:
    done = afilsql(tmp_path, "web", "hash-password", input=PASSWORD + "\n")
    assert done.returncode == 0 and re.fullmatch(r"\$argon2id\$\S+\n", done.stdout)
    assert PASSWORD not in done.stdout + done.stderr


def test_a_short_password_is_refused(tmp_path: Path) -> None:
    done = afilsql(tmp_path, "web", "hash-password", input="short\n")
    assert done.returncode == 2 and "12 to 1000 characters" in done.stderr and done.stdout == ""


def test_there_is_no_way_to_give_a_password_as_an_argument(tmp_path: Path) -> None:
    assert afilsql(tmp_path, "web", "hash-password", PASSWORD).returncode == 2
    assert afilsql(tmp_path, "web", "hash-password", "--password", PASSWORD).returncode == 2


@pytest.mark.parametrize(("again", "code"), [(PASSWORD, 0), ("something else", 2)])
def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(tmp_path: Path, again: str, code: int) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, "-m", "afilsql", "web", "hash-password"], environment(tmp_path))
    shown, give_up = b"", time.monotonic() + PATIENCE
    answers = [("Password: ", PASSWORD), ("Again: ", again)]
    while time.monotonic() < give_up:
        try:
            part = os.read(terminal, 1024)
        except OSError:
            break
        if not part:
            break
        shown += part
        if answers and answers[0][0].encode() in shown:
            os.write(terminal, answers.pop(0)[1].encode() + b"\n")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
    assert PASSWORD.encode() not in shown
    assert (b"$argon2id$" in shown) == (code == 0)


def test_what_the_page_needs_is_named_where_it_is_missing(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked.py"
    blocked.write_text(
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('argon2', 'jinja2', 'itsdangerous')))\n"
        "from afilsql.cli import main\n"
        "main(['web'])\n"
    )
    done = subprocess.run(
        [sys.executable, str(blocked)], env=environment(tmp_path), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 3 and "pip install 'afilsql[web]'" in done.stderr


def test_the_settings_are_read_from_a_file_that_nobody_else_may_read(tmp_path: Path) -> None:
    file = tmp_path / "afilsql.toml"
    file.write_text(f"[web]\nmask_messages = true\n[web.users.ann]\npassword_hash = '{HASH}'\nrole = 'operator'\n")
    file.chmod(0o600)
    found = load_settings(file, {}).web
    assert (found.users["ann"].role, found.mask_messages, found.host, found.port) == (
        "operator",
        True,
        "127.0.0.1",
        8765,
    )
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_settings(file, {})


@pytest.mark.parametrize(
    ("web", "said"),
    [
        ('{"users": {"ann": {"password_hash": "hunter2hunter2"}}}', r"AFILSQL_WEB \(web\.users\.ann\.password_hash\)"),
        ('{"users": {"ann": {"password_hash": "x", "role": "king"}}}', "web.users.ann"),
        (json.dumps({"users": {" ann": {"password_hash": HASH}}}), "a user's name"),
        ('{"prot": 1}', r"AFILSQL_WEB \(web\.prot\)"),
        ('{"secret": "short"}', r"web\.secret"),
        ('{"cert": "/nowhere.pem"}', "there is no such file"),
        ('{"allowed_hosts": ["a:80"]}', "without a port"),
        ('{"proxy_from": ["proxy"]}', "addresses or networks"),
        ('{"proxy_user_header": "X User"}', "name of a header"),
        (json.dumps({"secret": "s" * 40, "secret_file": "x"}), "keep one"),
        ("nonsense", "is not JSON"),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_its_value_is_not(web: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        load_settings(environ={"AFILSQL_WEB": web})
    assert "hunter2" not in str(error.value) and "ssss" not in str(error.value)


def test_a_secret_in_a_file_has_to_be_long(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("short\n")
    file.chmod(0o600)
    web = f'{{"secret_file": "{file}", "users": {{"ann": {{"password_hash": "{HASH}"}}}}}}'
    done = afilsql(tmp_path, "web", "--port", "0", web=web)
    assert done.returncode == 3 and "32 random characters" in done.stderr
