"""Two deployers at once, as real processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from afilsql import deploy
from afilsql.outbox import open_outbox
from afilsql.outbox.engine import create_engine
from tests import engines
from tests.faults.processes import WORKER, ended, environment, sandbox, workers
from tests.faults.traffic import Producer, audit, drained, wait_until
from tests.patience import PATIENCE

MIGRATE = (sys.executable, "-m", "afilsql", "migrate")


def deploy_twice(url: str) -> str:
    """Run two `afilsql migrate` side by side, which must both end well; return the URL."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen(MIGRATE, env=environment(url, ""), **pipes) for _ in range(2)]
    ends = [(process.communicate(timeout=PATIENCE)[0], process.returncode) for process in both]
    for said, code in ends:
        if "Another deployer has held the lock for a minute: try again" in " ".join(said.split()):
            again = subprocess.run(MIGRATE, env=environment(url, ""), **pipes, timeout=PATIENCE)
            said, code = again.stdout, again.returncode
        assert code == 0, said
    return url


@pytest.mark.parametrize("number", range(2))
def test_two_deployers_on_one_file_both_end_well(tmp_path: Path, number: int) -> None:
    url = deploy_twice(f"sqlite:///{(tmp_path / f'{number}.db').as_posix()}")
    assert deploy.drift(url) == []


def test_all_who_open_a_new_file_at_once_can_use_it(tmp_path: Path) -> None:
    refused: list[BaseException] = []

    def connect(url: str, together: threading.Barrier) -> None:
        engine = create_engine(url)
        together.wait(PATIENCE)
        try:
            engine.connect().close()
        except BaseException as error:
            refused.append(error)
        finally:
            engine.dispose()

    for n in range(50):
        where = (f"sqlite:///{(tmp_path / f'{n}.db').as_posix()}", threading.Barrier(4))
        threads = [threading.Thread(target=connect, args=where) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert refused == []


@pytest.fixture(scope="module")
def deployed(tsql_server: str) -> Iterator[str]:
    """URL of a database that was empty when two deployers came; procedures that change are nobody else's."""
    with engines.database(tsql_server) as url:
        yield deploy_twice(url)


@pytest.mark.tsql
def test_two_deployers_on_one_empty_database_both_end_well(deployed: str) -> None:
    assert deploy.drift(deployed) == []


@pytest.mark.tsql
def test_procedures_applied_anew_under_load_lose_nothing_and_send_nothing_twice(deployed: str) -> None:
    with (
        sandbox(0.03) as api,
        open_outbox(deployed) as outbox,
        workers(1, deployed, api.url, command=WORKER) as (process,),
    ):
        with Producer(deployed, conversations=40, rate=40) as producer:
            wait_until(lambda: api.count() > 10, "nothing arrived")
            with deploy.locked(deployed) as connection:
                connection.exec_driver_sql(
                    "UPDATE afil.sql_object SET checksum = '0' WHERE name IN ('procedures/exchange', "
                    "'procedures/exchange_take', 'procedures/exchange_complete', 'procedures/exchange_sweep')"
                )
            applied: list[str] = []
            deployer = threading.Thread(target=lambda: applied.extend(deploy.migrate(deployed)))
            deployer.start()
            deployer.join(PATIENCE)
            assert "applied procedures/exchange" in applied
        wait_until(lambda: drained(outbox), f"not drained: {process.said()[-500:]}", every=0.2)
        process.terminate()
        ended(process)
        assert audit(outbox, producer.accepted, api.received()).flawless()
