"""Two deployers at once, as real processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from afilsql import deploy
from afilsql.outbox import open_outbox
from tests.faults.processes import WORKER, ended, environment, sandbox, workers
from tests.faults.traffic import Producer, audit, drained, wait_until

MIGRATE = (sys.executable, "-m", "afilsql", "migrate")


def deploy_twice(url: str) -> None:
    """Run two `afilsql migrate` side by side; both must end well, and the database be complete."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen(MIGRATE, env=environment(url, ""), **pipes) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert deploy.drift(url) == []


@pytest.mark.parametrize("number", range(2))
def test_two_deployers_on_one_file_both_end_well(tmp_path: Path, number: int) -> None:
    deploy_twice(f"sqlite:///{(tmp_path / f'{number}.db').as_posix()}")


@pytest.mark.tsql
def test_two_deployers_on_one_empty_database_both_end_well(new_tsql_url: str) -> None:
    deploy_twice(new_tsql_url)


@pytest.mark.tsql
def test_procedures_applied_anew_under_load_lose_nothing_and_send_nothing_twice(empty_tsql: str) -> None:
    with (
        sandbox(0.03) as api,
        open_outbox(empty_tsql) as outbox,
        workers(1, empty_tsql, api.url, command=WORKER) as (process,),
    ):
        with Producer(empty_tsql, conversations=40, rate=40) as producer:
            wait_until(lambda: api.count() > 10, "nothing arrived")
            with deploy.locked(empty_tsql) as connection:
                connection.exec_driver_sql(
                    "UPDATE afil.sql_object SET checksum = '0' WHERE name IN ('procedures/exchange', "
                    "'procedures/exchange_take', 'procedures/exchange_complete', 'procedures/exchange_sweep')"
                )
            deployed: list[str] = []
            deployer = threading.Thread(target=lambda: deployed.extend(deploy.migrate(empty_tsql)))
            deployer.start()
            deployer.join(60)
            assert "applied procedures/exchange" in deployed
        wait_until(lambda: drained(outbox), f"not drained: {process.said()[-500:]}", every=0.2)
        process.terminate()
        ended(process)
        assert audit(outbox, producer.accepted, api.received()).flawless()
