"""`afilsql uninstall` leaves a database as it was before `afilsql migrate`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from afilsql import deploy, uninstall
from afilsql.errors import ConfigError, InvalidParameter
from afilsql.outbox import open_outbox
from afilsql.outbox.engine import create_engine
from afilsql.outbox.records import Request

pytestmark = pytest.mark.tsql

CATALOG = {
    "objects": "SELECT SCHEMA_NAME(schema_id), name, RTRIM(type) FROM sys.objects "
    "WHERE SCHEMA_NAME(schema_id) IN (N'dbo', N'afil')",
    "columns": "SELECT OBJECT_NAME(c.object_id), c.name FROM sys.columns AS c "
    "INNER JOIN sys.tables AS t ON t.object_id = c.object_id WHERE SCHEMA_NAME(t.schema_id) IN (N'dbo', N'afil')",
    "schemas": "SELECT name FROM sys.schemas",
    "principals": "SELECT name FROM sys.database_principals",
    "triggers": "SELECT name FROM sys.triggers",
}


def catalog(connection: Any) -> dict[str, list[tuple[Any, ...]]]:
    return {name: sorted(map(tuple, connection.exec_driver_sql(sql))) for name, sql in CATALOG.items()}


def test_uninstalling_leaves_the_catalogs_as_they_were(new_tsql_url: str) -> None:
    engine = create_engine(new_tsql_url, autocommit=True)
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE dbo.orders (order_id int NOT NULL PRIMARY KEY, phone nvarchar(40))")
        before = catalog(connection)
        deploy.migrate(new_tsql_url)
        connection.exec_driver_sql(
            "EXEC afil.create_notification @name = N'new_order', @table = N'dbo.orders', @on = N'insert', "
            "@platform = N'whatsapp', @platformid = N'100', @destination = N'phone', @message = N'Order {order_id}'"
        )
        connection.exec_driver_sql("INSERT INTO dbo.orders VALUES (1, N'34600000000')")
    with pytest.raises(InvalidParameter, match="1 requests are still on their way"):
        uninstall.uninstall(new_tsql_url)

    printed = uninstall.statements(new_tsql_url)
    assert uninstall.uninstall(new_tsql_url, discard=True) == printed
    assert printed[0] == "DROP TRIGGER [dbo].[afil_new_order];"
    with engine.connect() as connection:
        assert catalog(connection) == before
        connection.exec_driver_sql("INSERT INTO dbo.orders VALUES (2, N'34600000000')")
    engine.dispose()
    with pytest.raises(ConfigError, match="not in this database"):
        uninstall.uninstall(new_tsql_url)


def test_the_command_prints_by_default_and_changes_nothing(new_tsql_url: str) -> None:
    deploy.migrate(new_tsql_url)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AFILSQL_")}
    environ["AFILSQL_DATABASE_URL"] = new_tsql_url
    command = [sys.executable, "-m", "afilsql", "uninstall"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == uninstall.statements(new_tsql_url)
    assert "nothing was changed" in done.stderr
    with open_outbox(new_tsql_url) as outbox:
        assert outbox.enqueue(Request("getchatchannels"))
    done = subprocess.run([*command, "--yes", "--discard"], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert deploy.drift(new_tsql_url)
