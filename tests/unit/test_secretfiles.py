"""Files with secrets: what is read, and what is refused because others could read or replace it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from afilsql.config import load_settings
from afilsql.errors import ConfigError
from afilsql.secretfiles import read_secret

SECRET = "s3cret-Word ü"
STRANGER = 65534

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and modes are a POSIX matter")
as_root = pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give files away")


def secret_file(folder: Path, content: bytes = SECRET.encode() + b"\n", mode: int = 0o600) -> Path:
    path = folder / "password"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        read_secret(path, "the password file", **options)  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("the password file")
    return str(caught.value)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_the_one_line_of_a_file_is_the_secret(tmp_path: Path, start: bytes, end: str) -> None:
    assert read_secret(secret_file(tmp_path, start + f"{SECRET} {end}".encode()), "x") == f"{SECRET} "


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (SECRET.encode() + b"\nmore\n", "more than one line"),
        (SECRET.encode() + b"\0", "more than one line"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * 1_000_001, "larger than 1 MB"),
    ],
)
def test_a_file_that_is_not_one_line_of_text_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refusal(secret_file(tmp_path, content))


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "not an ordinary file" in refusal(tmp_path / "pipe")
    assert "Is a directory" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "none")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path, mode=mode)
    assert f"chmod 600 {path}" in refusal(path)
    path.chmod(0o400)
    assert read_secret(path, "x") == SECRET


def test_a_secret_that_a_container_manager_mounted_may_be_readable_but_not_writable(tmp_path: Path) -> None:
    path = secret_file(tmp_path, mode=0o444)
    assert read_secret(path, "x", mounted=[tmp_path]) == SECRET
    path.chmod(0o446)
    assert "chmod o-w" in refusal(path, mounted=[tmp_path])


def test_a_folder_where_everybody_may_write_is_refused_unless_it_is_sticky(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    (folder / "inner").mkdir(parents=True)
    path = secret_file(folder / "inner")
    folder.chmod(0o777)
    assert f"chmod o-w {folder}" in refusal(path)
    folder.chmod(0o1777)
    assert read_secret(path, "x") == SECRET


def test_a_link_of_ones_own_is_followed_and_where_it_leads_is_checked(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    path = secret_file(folder)
    (tmp_path / "link").symlink_to(path)
    assert read_secret(tmp_path / "link", "x") == SECRET
    folder.chmod(0o777)
    assert f"chmod o-w {folder}" in refusal(tmp_path / "link")


@as_root
def test_a_file_of_another_users_is_refused(tmp_path: Path) -> None:
    path = secret_file(tmp_path)
    os.chown(path, STRANGER, -1)
    assert f"chown 0 {path}" in refusal(path)


@as_root
def test_a_link_of_another_users_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(secret_file(tmp_path))
    os.lchown(link, STRANGER, -1)
    assert f"through {link}" in refusal(link)


@as_root
@pytest.mark.parametrize("text", ["concurrency = 4", f"password = '{SECRET}'"])
def test_a_settings_file_of_another_users_is_refused_with_or_without_a_password(tmp_path: Path, text: str) -> None:
    path = tmp_path / "afilsql.toml"
    path.write_text(text)
    path.chmod(0o600)
    os.chown(path, STRANGER, -1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        load_settings(path, {})


def test_a_settings_file_that_everybody_may_write_is_refused_although_it_holds_no_password(tmp_path: Path) -> None:
    path = tmp_path / "afilsql.toml"
    path.write_text("concurrency = 4")
    path.chmod(0o666)
    with pytest.raises(ConfigError, match="chmod o-w"):
        load_settings(path, {})
