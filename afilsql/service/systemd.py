"""systemd units of workers: put in place, taken away, looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from afilsql.errors import InvalidParameter, ServiceError
from afilsql.service.unit import MARK, Unit

assert sys.platform != "win32", "systemd is Linux's"

#: Runs a program with this process's standard streams; returns its exit code, raises FileNotFoundError.
Run = Callable[[Sequence[str]], int]

UNITS = Path("etc/systemd/system")


def run(command: Sequence[str]) -> int:
    """Run a program found on PATH and return its exit code."""
    return subprocess.run(command, check=False).returncode  # noqa: S603 - a list; nothing is put together from text


class Systemd:
    """The systemd of this machine, or of an image of one.

    Args:
        root: Where the file system begins.
        is_image: Whether that is an image, in which nothing runs; None is anywhere but /.
        run: Runs systemctl and journalctl.
        is_admin: Whether this process may change units; None asks.
        is_running: Whether systemd runs this machine; None asks.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        is_image: bool | None = None,
        run: Run = run,
        is_admin: bool | None = None,
        is_running: bool | None = None,
    ) -> None:
        self._root = root
        self._is_image = root != Path("/") if is_image is None else is_image
        self._program = run
        self._is_admin = os.geteuid() == 0 if is_admin is None else is_admin
        self._is_running = Path("/run/systemd/system").is_dir() if is_running is None else is_running

    def install(self, unit: Unit, *, now: bool = False, replace: bool = False) -> Path:
        """Write the unit and have it start with the machine; return where it is.

        Args:
            unit: What to install.
            now: Start it too, which waits for its first exchange with the database; or restart it when it runs.
            replace: Another version of it may be there.

        Raises:
            InvalidParameter: There is such a unit already, or an image's is to be started.
            ServiceError: There is no systemd, this is not root, or systemctl failed.
        """
        if now and self._is_image:
            raise InvalidParameter("nothing can be started in an image: leave --now or --root out")
        self._require()
        file = self._file(unit.name)
        if file.exists():
            self._require_ours(file)
            if not replace:
                raise InvalidParameter(
                    f"there is a service {unit.name} already ({file}): give another --name, or --replace to change it"
                )
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f".{file.name}.new")
        fresh.write_text(unit.text(), encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(file)
        if not self._is_image:
            self._systemctl("daemon-reload")
        self._systemctl("enable", unit.file_name)
        if now:
            self._systemctl("restart", unit.file_name)
        return file

    def uninstall(self, name: str) -> Path:
        """Stop the service and remove its unit; return where it was. What it stored stays.

        Raises:
            InvalidParameter: There is no such unit, or it was written by somebody else.
            ServiceError: There is no systemd, this is not root, or systemctl failed.
        """
        self._require()
        file = self._file(name)
        if not file.exists():
            raise InvalidParameter(f"there is no service {name} ({file} does not exist): see --name")
        self._require_ours(file)
        self._systemctl("disable", *(() if self._is_image else ("--now",)), file.name)
        file.unlink()
        if not self._is_image:
            self._systemctl("daemon-reload")
            self._run("systemctl", "reset-failed", "--quiet", file.name)  # fails when there is nothing to reset
        return file

    def status(self, name: str) -> int:
        """Have systemctl show the service; return its exit code: 0 runs, 3 does not, 4 is not there."""
        return self._run("systemctl", "status", "--no-pager", "--full", f"{name}.service")

    def logs(self, name: str, *, lines: int, follow: bool) -> int:
        """Have journalctl show the service's latest log lines; return its exit code."""
        more = ("--follow",) if follow else ()
        return self._run(
            "journalctl", "--no-pager", "--output=cat", f"--lines={lines}", *more, f"--unit={name}.service"
        )

    def _file(self, name: str) -> Path:
        return self._root / UNITS / f"{name}.service"

    def _require(self) -> None:
        if self._is_image:
            return
        if not self._is_running:
            raise ServiceError(
                "systemd does not run this machine: in a container run `afilsql worker` itself; --print shows the unit"
            )
        if not self._is_admin:
            raise ServiceError("only root may change services: run it with sudo; --print shows the unit")

    @staticmethod
    def _require_ours(file: Path) -> None:
        if not file.read_text(encoding="utf-8", errors="replace").startswith(MARK):
            raise InvalidParameter(f"{file} was not written by `afilsql service install`: it is left alone")

    def _systemctl(self, *arguments: str) -> None:
        root = ("--root", str(self._root)) if self._is_image else ()
        code = self._run("systemctl", *root, "--quiet", *arguments)
        if code:
            raise ServiceError(
                f"`systemctl {' '.join(arguments)}` failed ({code}): see above, and `afilsql service logs`"
            )

    def _run(self, *command: str) -> int:
        try:
            return self._program(command)
        except FileNotFoundError:
            raise ServiceError(
                f"the program {command[0]} is not there: install systemd, or run the worker under another manager"
            ) from None
