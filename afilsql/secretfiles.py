"""Files that hold secrets: read once opened, and refused where somebody else could read or replace them.

On Windows a file's access list is not checked: keep it to the service's account yourself.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from afilsql.errors import ConfigError

#: Where container managers mount secrets; they choose owner and mode (Docker: root, 0444), nobody else gets there.
MOUNTED = Path("/run/secrets")
MAX_BYTES = 1_000_000
_MAX_LINKS = 40


def is_there(path: Path) -> bool:
    """Whether a file is there; one that cannot be looked at is, so that reading it says why."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def read(path: Path, named: str) -> tuple[bytes, os.stat_result]:
    """Read a file; return what is in it and the state of the very file that was read.

    Args:
        path: The file.
        named: How messages call it, such as "the settings file x.toml".

    Raises:
        ConfigError: It cannot be read, is no ordinary file, or larger than a megabyte.
    """
    try:
        # Without O_NONBLOCK a FIFO would wait for somebody to write to it.
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"{named} is not an ordinary file: name one")
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{named} does not exist: correct its path, in --config, AFILSQL_CONFIG or the setting"
        ) from None
    except OSError as e:
        raise ConfigError(f"{named} cannot be read ({e.strerror}): check its permissions") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{named} is larger than {MAX_BYTES // 1_000_000} MB: name another")
    return data, status


def read_secret(path: Path, named: str, *, mounted: Iterable[Path] = (MOUNTED,)) -> str:
    """Return the one line a file holds; a newline at its end does not count.

    Args:
        path: The file.
        named: How messages call it.
        mounted: Folders whose files a manager of containers or services put there, with modes of its own choice.

    Raises:
        ConfigError: It cannot be read, others can read or replace it, or it is not one line of UTF-8.
    """
    data, status = read(path, named)
    check(path, status, named, secret=True, mounted=mounted)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{named} is not UTF-8: save it as UTF-8") from None
    line = text.removesuffix("\n").removesuffix("\r")
    if not line:
        raise ConfigError(f"{named} is empty: write the value into it, on one line")
    if any(c in line for c in "\r\n\0"):
        raise ConfigError(f"{named} holds more than one line: write the value alone")
    return line


def check(
    path: Path, status: os.stat_result, named: str, *, secret: bool, mounted: Iterable[Path] = (MOUNTED,)
) -> None:
    """Refuse a file that somebody but its reader and root could replace or, if it holds a secret, read.

    Args:
        path: The file, symbolic links and all.
        status: Its state, from the descriptor it was read through.
        named: How messages call it.
        secret: It holds a secret; then neither its group nor others may read it.
        mounted: Folders where only writing by everybody is refused, see `read_secret`.

    Raises:
        ConfigError: It is refused; the message says what to run. Never on Windows.
    """
    if os.name != "posix":
        return
    if status.st_mode & 0o002:
        raise ConfigError(f"{named} can be written by everybody: run `chmod o-w {path}`")
    if any(path.resolve().is_relative_to(folder.resolve()) for folder in mounted):
        return
    if status.st_uid not in _trusted():
        raise ConfigError(f"{named} belongs to another user (uid {status.st_uid}): run `chown {_me()} {path}`")
    if secret and status.st_mode & 0o077:
        raise ConfigError(f"{named} holds a secret and others can read it: run `chmod 600 {path}`")
    _check_way(path, named)


def _check_way(path: Path, named: str) -> None:
    """Follow the path link by link: no link of a stranger's, no folder where everybody may replace what is in it."""
    hop = path.absolute()
    for _ in range(_MAX_LINKS):
        for folder in (*hop.parents, *hop.resolve().parents):
            mode = folder.stat().st_mode
            if mode & 0o002 and not mode & stat.S_ISVTX:
                raise ConfigError(f"{named} lies in {folder}, where everybody may write: run `chmod o-w {folder}`")
        for part in (hop, *hop.parents):
            if part.is_symlink() and part.lstat().st_uid not in _trusted():
                raise ConfigError(f"{named} is reached through {part}, a link of another user's: name it directly")
        if not hop.is_symlink():
            return
        hop = hop.parent / hop.readlink()


def _trusted() -> tuple[int, int]:
    return (0, _euid())


def _me() -> str:
    return str(_euid())


def _euid() -> int:
    if sys.platform == "win32":
        return 0
    return os.geteuid()
