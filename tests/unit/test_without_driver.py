"""A fresh machine has no unixODBC: the embedded default must not care, a SQL Server URL must say what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BLOCKED = "import sys; sys.modules['pyodbc'] = None; from afilsql.cli import main; main()"


def run(tmp_path: Path, *arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AFILSQL_DATABASE_URL": url}
    command = [sys.executable, "-c", BLOCKED, *arguments]
    return subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True)


def test_the_embedded_default_runs_without_pyodbc(tmp_path: Path) -> None:
    done = run(tmp_path, "channels", url="sqlite:///x.db")
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_a_sql_server_url_without_pyodbc_names_the_packages_to_install(tmp_path: Path) -> None:
    done = run(tmp_path, "channels", url="mssql+pyodbc://u:secret@127.0.0.1:1/db")
    assert done.returncode == 3
    assert "apt-get install unixodbc" in done.stderr
    assert "afilsql[odbc]" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
