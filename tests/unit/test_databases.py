"""One process for several databases: their URLs, one pulse, and workers that end by themselves or fail."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from afilsql.config import load_settings
from afilsql.delivery.handover import Totals
from afilsql.delivery.pulse import Pulse
from afilsql.errors import ConfigError, SchemaOutOfDate
from afilsql.service.databases import JointPulse, Workers, urls_of
from tests.patience import PATIENCE

SERVER = "mssql+pyodbc://me:w0rd@db.example.com:1433/sales?Encrypt=yes"


def urls(url: str, databases: str = "") -> dict[str, str]:
    return urls_of(load_settings(environ={"AFILSQL_DATABASE_URL": url, "AFILSQL_DATABASES": databases}))


def test_without_more_databases_it_is_the_one_of_the_url() -> None:
    assert urls("sqlite:///x.db") == {"": "sqlite:///x.db"}


def test_each_database_has_the_urls_server_login_and_options() -> None:
    found = urls(SERVER, "support, sales,shop")
    assert list(found) == ["sales", "support", "shop"]
    for name, url in found.items():
        parsed = sa.make_url(url)
        assert (parsed.database, parsed.host, parsed.password) == (name, "db.example.com", "w0rd")
        assert dict(parsed.query) == {"Encrypt": "yes"}


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite:///x.db", "mssql+pyodbc://?odbc_connect=x", "mssql+pyodbc://u:p@server"),
        *("no url w0rd", "mssql+pyodbc://me:a:w0rd@server:w0rd/sales"),
    ],
)
def test_a_url_without_a_database_to_replace_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError, match="AFILSQL_DATABASES") as refused:
        urls(url, "support")
    assert "w0rd" not in str(refused.value)


class Counted(Pulse):
    """Counts its beats."""

    def __init__(self) -> None:
        super().__init__()
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1


def test_the_pulse_of_several_loops_beats_when_all_have() -> None:
    whole = Counted()
    joint = JointPulse(whole, 3)
    parts = [joint.part(n) for n in range(3)]
    for _ in range(5):
        parts[0].beat()
        parts[1].beat()
    assert whole.beats == 0
    parts[2].beat()
    assert whole.beats == 1
    joint.left(2)
    parts[1].beat()
    parts[0].beat()
    assert whole.beats == 2


class FakeWorker:
    """Ends at once with an error, or when it is stopped."""

    may_be_left = False
    totals = Totals(released=1)

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self, *, until: str) -> Totals:
        if self._error is not None:
            raise self._error
        assert self._stopped.wait(PATIENCE), until
        return Totals(sent=1)


@pytest.mark.parametrize("failing", [0, 1])
def test_one_database_that_cannot_be_served_ends_none_of_the_others(failing: int) -> None:
    error = SchemaOutOfDate("run `afilsql migrate`")
    fakes: dict[str, Any] = {name: FakeWorker(error if n == failing else None) for n, name in enumerate("abc")}
    told: dict[str, Totals | Exception] = {}
    failed = threading.Event()

    def on_end(name: str, how: Totals | Exception) -> None:
        told[name] = how
        if isinstance(how, Exception):
            failed.set()

    workers = Workers(fakes, on_end)
    raised: list[Exception] = []

    def run() -> None:
        try:
            workers.run(until="stopped")
        except SchemaOutOfDate as e:
            raised.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    assert failed.wait(PATIENCE)
    assert thread.is_alive()
    workers.stop()
    thread.join(PATIENCE)
    assert raised == [error]
    assert sorted(n for n, how in told.items() if isinstance(how, Totals)) == [n for n in "abc" if told[n] is not error]


@pytest.mark.parametrize("waits", [True, False], ids=["the others end first", "a single one"])
def test_a_worker_that_hangs_and_may_be_left_is_not_waited_for_and_told_of_once(waits: bool) -> None:
    class Hanging(FakeWorker):
        """Ends when nobody waits for it any more."""

        may_be_left = True
        gone = threading.Event()

        def run(self, *, until: str) -> Totals:
            assert self._stopped.wait(30), until
            assert self.gone.wait(30)
            return Totals(sent=9)

    hanging = Hanging()
    hanging.may_be_left = False
    fakes: dict[str, Any] = {"a": hanging} | ({"b": FakeWorker()} if waits else {})
    told: list[tuple[str, Any]] = []
    workers = Workers(fakes, lambda name, how: told.append((name, how)))
    runs = threading.Thread(target=lambda: workers.run(until="stopped"))
    runs.start()
    hanging.may_be_left = True
    workers.stop()
    runs.join(30)
    assert not runs.is_alive()
    hanging.gone.set()
    for thread in threading.enumerate():
        if thread.name == "worker a":
            thread.join(30)
    assert sorted(told) == [("a", Totals(released=1)), *([("b", Totals(sent=1))] if waits else [])]
