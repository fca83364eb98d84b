"""afilsql import: a file of any size in little memory, all or nothing, from a file or a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from afilsql.outbox import open_outbox

HEAD = "platform,platformid,destination,message\r\n"


def run(database: Path, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "afilsql", "import", *arguments],
        input=stdin,
        capture_output=True,
        env={"AFILSQL_DATABASE_URL": f"sqlite:///{database.as_posix()}", "PYTHONPATH": ":".join(sys.path)},
    )


def queued(database: Path) -> int:
    with open_outbox(f"sqlite:///{database.as_posix()}") as outbox:
        return outbox.status().counts["queued"]


def test_standard_input_is_read_like_a_file(tmp_path: Path) -> None:
    done = run(tmp_path / "o.db", "-", "--json", stdin=f"{HEAD}whatsapp,100,346,Hi\r\nwhatsapp,100,347,Ho".encode())
    assert (done.returncode, json.loads(done.stdout)["queued"]) == (0, 2), done.stderr


def test_a_bad_last_line_keeps_the_first_ones_out_also_of_a_pipe(tmp_path: Path) -> None:
    text = HEAD + "whatsapp,100,346,Hi\r\n" * 1200 + "fax,100,346,Hi\r\n"
    done = run(tmp_path / "o.db", "-", stdin=text.encode())
    assert done.returncode == 2
    assert b"line 1202: @platform 'fax'" in done.stderr
    assert queued(tmp_path / "o.db") == 0


def test_a_file_that_stops_being_utf8_is_refused_whole(tmp_path: Path) -> None:
    done = run(tmp_path / "o.db", "-", stdin=(HEAD + "whatsapp,100,346,Hi\r\n" * 9000).encode() + b"\xff")
    assert (done.returncode, b"not UTF-8" in done.stderr) == (2, True)
    assert queued(tmp_path / "o.db") == 0


def test_a_line_without_end_is_refused_by_its_number(tmp_path: Path) -> None:
    done = run(tmp_path / "o.db", "-", stdin=HEAD.encode() + b"x" * 13_000_000)
    assert (done.returncode, b"line 2 is longer than" in done.stderr) == (2, True), done.stderr[-300:]


@pytest.mark.skipif(sys.platform == "win32", reason="the peak of a process's memory is asked the POSIX way")
def test_a_large_file_takes_little_more_memory_than_a_small_one(tmp_path: Path) -> None:
    peaks = []
    for name, lines in (("small", 1), ("large", 40)):
        file = tmp_path / f"{name}.csv"
        with file.open("w") as f:
            f.write(HEAD)
            f.writelines(f"whatsapp,100,{n},{'m' * 1_000_000}\r\n" for n in range(lines))
        process = subprocess.Popen(
            [sys.executable, "-m", "afilsql", "import", str(file)],
            stdout=subprocess.DEVNULL,
            env={"AFILSQL_DATABASE_URL": f"sqlite:///{tmp_path / name}.db", "PYTHONPATH": ":".join(sys.path)},
        )
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0
        peaks.append(used.ru_maxrss / (1024 if sys.platform == "linux" else 2**20))
        assert queued(tmp_path / f"{name}.db") == lines
    assert peaks[1] - peaks[0] < 20, f"megabytes: {peaks}"
