"""Install, upgrade, print, check, remove: on a real engine."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from afilsql import deploy
from afilsql.outbox import open_outbox
from afilsql.outbox.engine import create_engine
from afilsql.outbox.records import Request
from afilsql.sqlfiles import split_batches, sql_objects

pytestmark = pytest.mark.tsql


def test_migrate_installs_once_and_the_second_time_has_nothing_to_do(new_tsql_url: str) -> None:
    assert deploy.drift(new_tsql_url)
    assert deploy.migrate(new_tsql_url)
    assert deploy.drift(new_tsql_url) == []
    assert deploy.migrate(new_tsql_url) == []


def test_a_dropped_procedure_is_drift_and_downgrade_leaves_nothing_behind(new_tsql_url: str) -> None:
    deploy.migrate(new_tsql_url)
    engine = create_engine(new_tsql_url, autocommit=True)
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP PROCEDURE afil.send_message")
    assert deploy.drift(new_tsql_url) == ["procedures/send_message was dropped from the database"]
    deploy.downgrade(new_tsql_url, "base")
    with engine.connect() as connection:
        left = connection.exec_driver_sql(
            "SELECT name FROM sys.objects WHERE schema_id = SCHEMA_ID(N'afil')"
        ).fetchall()
    engine.dispose()
    assert left == []


def test_the_printed_script_installs_everything_without_python(new_tsql_url: str) -> None:
    engine = create_engine(new_tsql_url, autocommit=True)
    with engine.connect() as connection:
        babelfish = deploy.is_babelfish(connection)
        functions = [f"ON afil.{o.name} TO" for o in sql_objects() if o.kind == "functions"]
        refused = [grant for o in sql_objects() if o.requires_sqlserver for grant in o.grants]
        for batch in split_batches(deploy.script()):
            if babelfish and ("WAITFOR DELAY" in batch or batch in refused):
                continue
            kind = "functions" if any(f in batch for f in functions) else "procedures"
            connection.exec_driver_sql(deploy.for_babelfish(batch, kind) if babelfish else batch)
    assert deploy.drift(new_tsql_url) == []
    with open_outbox(new_tsql_url) as outbox:
        outbox.enqueue(Request("getchatchannels"))
        assert len(outbox.exchange("tester", take=1).claims) == 1
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="installed here already"):
        connection.exec_driver_sql(split_batches(deploy.script())[1])
    engine.dispose()
