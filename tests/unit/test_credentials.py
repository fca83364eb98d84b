"""Where an account's password comes from, in which order, and how a worker gets a new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from afilsql.config import load_settings
from afilsql.credentials import FILES_EVERY, KEYRING_EVERY, Logins, find
from afilsql.errors import ConfigError
from tests.patience import PATIENCE

SECRET = "s3cret-Word"
USER = {"AFILSQL_USER": "ana"}


def no_keyring(service: str, name: str) -> str | None:
    return None


def write(path: Path, text: str) -> Path:
    """Replace a file as one should: written beside it, then renamed."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o600)
    fresh.rename(path)
    return path


def password(
    environ: dict[str, str],
    account: str = "default",
    config: Path | None = None,
    keyring: Callable[[str, str], str | None] = no_keyring,
) -> str:
    found = find(load_settings(config, environ), account, environ=environ, keyring=keyring)
    return found.login.password.get_secret_value()


def test_each_source_beats_the_ones_after_it(tmp_path: Path) -> None:
    (tmp_path / "systemd").mkdir()
    write(tmp_path / "systemd" / "afilsql.password", "systemd")
    file = write(tmp_path / "password", "file in the environment")
    toml_file = write(tmp_path / "toml-password", "file in the settings file")
    config = tmp_path / "afilsql.toml"
    systemd = USER | {"CREDENTIALS_DIRECTORY": str(tmp_path / "systemd")}

    def keyring(service: str, name: str) -> str:
        return f"keyring {service} {name}"

    write(config, "password = 'settings file'")
    assert password(systemd | {"AFILSQL_PASSWORD": "environment"}, config=config) == "environment"
    assert password(systemd | {"AFILSQL_PASSWORD_FILE": str(file)}, config=config) == "file in the environment"
    assert password(systemd, config=config, keyring=keyring) == "settings file"
    write(config, f"password_file = '{toml_file}'")
    assert password(systemd | {"AFILSQL_PASSWORD": "environment"}, config=config) == "environment"
    assert password(systemd, config=config, keyring=keyring) == "file in the settings file"
    assert password(systemd, keyring=keyring) == "systemd"
    assert password(USER, keyring=keyring) == "keyring afilsql default"


def test_another_account_has_the_same_sources_under_its_own_name(tmp_path: Path) -> None:
    file = write(tmp_path / "password", "file")
    write(tmp_path / "afilsql.shop.password", "systemd")
    systemd = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    bare = {"AFILSQL_ACCOUNTS": json.dumps({"shop": {"user": "eva"}})}
    with_file = {"AFILSQL_ACCOUNTS": json.dumps({"shop": {"user": "eva", "password_file": str(file)}})}
    assert password(with_file | systemd, "shop") == "file"
    assert password(bare | systemd, "shop") == "systemd"
    assert password(bare, "shop", keyring=lambda service, name: f"{service} {name}") == "afilsql shop"


def test_the_environment_beats_a_file_for_the_default_account_of_the_settings_file(tmp_path: Path) -> None:
    config = write(tmp_path / "a.toml", "[accounts.default]\nuser = 'ana'\npassword_file = '/none'")
    assert password({"AFILSQL_PASSWORD": SECRET}, config=config) == SECRET


def test_the_database_url_comes_from_a_file_or_systemd_as_well(tmp_path: Path) -> None:
    file = write(tmp_path / "url", "sqlite:///file.db\n")
    write(tmp_path / "afilsql.database_url", "sqlite:///systemd.db\n")
    systemd = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    config = write(tmp_path / "a.toml", "database_url = 'sqlite:///toml.db'")
    by_file = {"AFILSQL_DATABASE_URL_FILE": str(file)}
    assert load_settings(config, systemd | by_file).database_url == "sqlite:///file.db"
    assert load_settings(config, systemd).database_url == "sqlite:///toml.db"
    assert load_settings(None, systemd).database_url == "sqlite:///systemd.db"
    given = systemd | {"AFILSQL_DATABASE_URL": "sqlite:///given.db"}
    assert load_settings(None, given).database_url == "sqlite:///given.db"


@pytest.mark.parametrize("pair", [("PASSWORD", "PASSWORD_FILE"), ("DATABASE_URL", "DATABASE_URL_FILE")])
def test_a_value_and_the_file_for_it_exclude_each_other(pair: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"{pair[0].lower()} and {pair[1].lower()}") as caught:
        load_settings(environ={f"AFILSQL_{name}": SECRET for name in pair})
    assert SECRET not in str(caught.value)


def test_an_account_without_a_password_is_told_every_place_for_one() -> None:
    with pytest.raises(ConfigError) as caught:
        password(USER)
    for place in ("AFILSQL_PASSWORD_FILE", "afilsql.password", "keyring set afilsql default"):
        assert place in str(caught.value)


def test_a_name_from_the_database_leads_to_no_file(tmp_path: Path) -> None:
    write(tmp_path / "secret", SECRET)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "x"), "AFILSQL_ACCOUNTS": '{"../../secret": {"user": "a"}}'}
    with pytest.raises(ConfigError, match="has no password"):
        password(environ, "../../secret")


BACKEND = """
import json, os, sys, time
from keyring.backend import KeyringBackend
class Backend(KeyringBackend):
    priority = 1
    def get_password(self, service, name):
        if name == "broken":
            raise RuntimeError("s3cret-Word")
        return {("afilsql", "default"): "s3cret-Word"}.get((service, name))
    def set_password(self, *_): raise NotImplementedError
    def delete_password(self, *_): raise NotImplementedError
"""


def ask(tmp_path: Path, name: str, backend: str) -> str:
    """What `from_keyring` answers in a process with another backend; the library chooses one when first used."""
    (tmp_path / "backend.py").write_text(BACKEND)
    script = f"from afilsql.credentials import from_keyring as f\ntry: print(f('afilsql', '{name}'))\n"
    script += "except Exception as e: print(type(e).__name__, e, e.__cause__)"
    environ = {**os.environ, "PYTHON_KEYRING_BACKEND": backend}
    environ["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_keyring_of_the_system_is_asked(tmp_path: Path) -> None:
    assert ask(tmp_path, "default", "backend.Backend") == SECRET
    assert ask(tmp_path, "other", "backend.Backend") == "None"


def test_a_system_without_a_keyring_has_no_entry(tmp_path: Path) -> None:
    assert ask(tmp_path, "default", "keyring.backends.fail.Keyring") == "None"


def test_a_keyring_that_fails_is_named_without_what_it_said(tmp_path: Path) -> None:
    said = ask(tmp_path, "broken", "backend.Backend")
    assert said.startswith("ConfigError the keyring did not give the password of 'broken' (RuntimeError)")
    assert SECRET not in said


class Watched:
    """Logins with clocks that stand still until told otherwise."""

    def __init__(self, environ: dict[str, str], config: Path | None = None) -> None:
        self.now = 0.0
        self.ahead = 3600.0  # files were written long ago
        self.kept: dict[str, str] = {}
        self.asked = 0
        self.changes: list[str] = []
        self.troubles: list[str] = []
        self.logins = Logins(
            lambda: load_settings(config, environ),
            config=config,
            environ=environ,
            keyring=self._keyring,
            on_change=self.changes.append,
            on_trouble=lambda account, why: self.troubles.append(why),
            monotonic=lambda: self.now,
            clock=lambda: time.time() + self.ahead,
        )

    def _keyring(self, service: str, name: str) -> str | None:
        self.asked += 1
        return self.kept.get(name)

    def __call__(self, account: str = "default") -> str:
        return self.logins(account).password.get_secret_value()


@pytest.fixture(params=["settings file", "password file", "systemd"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Watched, Callable[[str], Path], Path]:
    """A provider, what puts a new password into its source, and the source."""
    match request.param:
        case "settings file":
            path = tmp_path / "a.toml"
            change = lambda text: write(path, f"user = 'ana'\npassword = '{text}'")  # noqa: E731
            change("first")
            return Watched({}, path), change, path
        case "password file":
            path = write(tmp_path / "password", "first")
            return Watched(USER | {"AFILSQL_PASSWORD_FILE": str(path)}), lambda text: write(path, text), path
        case _:
            path = write(tmp_path / "afilsql.password", "first")
            return Watched(USER | {"CREDENTIALS_DIRECTORY": str(tmp_path)}), lambda text: write(path, text), path


def test_a_new_password_is_taken_within_seconds_and_told(source) -> None:
    watched, change, _ = source
    assert watched() == "first"
    change("second")
    assert watched() == "first", "files are not looked at for every call"
    watched.now += FILES_EVERY
    assert watched() == "second"
    assert (watched.changes, watched.troubles) == (["default"], [])


def test_a_file_just_written_is_left_alone_until_it_has_settled(source) -> None:
    watched, change, _ = source
    assert watched() == "first"
    watched.ahead = 0.0
    change("sec")
    watched.now += FILES_EVERY
    assert watched() == "first"
    change("second")
    watched.now += FILES_EVERY
    assert watched() == "first"
    watched.now += FILES_EVERY
    assert watched() == "second", "the same twice is settled, whatever the clocks say"


def test_a_source_that_breaks_keeps_the_last_password_and_is_complained_of_once(source) -> None:
    watched, change, path = source
    assert watched() == "first"
    breakages = [lambda: path.unlink(), lambda: write(path, ""), lambda: (change("x"), path.chmod(0o666))]
    for number, breakage in enumerate(breakages, start=1):
        breakage()
        for _ in range(3):
            watched.now += FILES_EVERY
            assert watched() == "first"
        assert len(watched.troubles) == number, watched.troubles
    change("second")
    watched.now += FILES_EVERY
    assert watched() == "second"


def test_the_permission_alone_being_mended_is_noticed(source) -> None:
    watched, change, path = source
    assert watched() == "first"
    change("second").chmod(0o666)
    watched.now += FILES_EVERY
    assert watched() == "first"
    path.chmod(0o600)
    watched.now += FILES_EVERY
    assert watched() == "second"


def test_the_keyring_is_asked_once_a_minute() -> None:
    watched = Watched(USER)
    watched.kept["default"] = "first"
    assert watched() == "first"
    watched.kept["default"] = "second"
    watched.now += KEYRING_EVERY - 1
    assert (watched(), watched.asked) == ("first", 1)
    watched.now += 1
    assert (watched(), watched.asked) == ("second", 2)
    del watched.kept["default"]
    watched.now += KEYRING_EVERY
    assert (watched(), len(watched.troubles)) == ("second", 1)


def test_an_account_added_to_the_settings_file_is_found(tmp_path: Path) -> None:
    config = write(tmp_path / "a.toml", "user = 'ana'\npassword = 'x'")
    watched = Watched({}, config)
    with pytest.raises(ConfigError, match="'shop'"):
        watched("shop")
    write(config, "[accounts.shop]\nuser = 'eva'\npassword = 'second'")
    assert watched("shop") == "second"


def test_many_threads_see_one_change_and_none_goes_on_with_the_old_password(tmp_path: Path) -> None:
    path = write(tmp_path / "password", "first")
    watched = Watched(USER | {"AFILSQL_PASSWORD_FILE": str(path)})
    assert watched() == "first"
    write(path, "second")
    watched.now += FILES_EVERY
    seen: list[str] = []
    together = threading.Barrier(16)

    def call() -> None:
        together.wait(PATIENCE)
        seen.append(watched())

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert seen == ["second"] * 16
    assert watched.changes == ["default"]


def test_without_the_library_there_is_no_keyring() -> None:
    script = "import sys; sys.modules['keyring'] = None; from afilsql.credentials import from_keyring as ask; "
    script += "print(ask('a', 'b'))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
