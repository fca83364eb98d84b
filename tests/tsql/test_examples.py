"""The example in every header of sql/ runs as it stands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from afilsql import deploy
from afilsql.outbox.engine import create_engine
from afilsql.sqlfiles import SqlObject, sql_objects
from tests import engines

pytestmark = pytest.mark.tsql


#: The request that examples speak of, uncertain, and the accounts.
ROW_12 = """
EXEC afil.announce @accounts = N'[{"name": "default"}, {"name": "example"}]';
DELETE FROM afil.outbox WHERE id = 12;
SET IDENTITY_INSERT afil.outbox ON;
INSERT INTO afil.outbox (
    id, request_id, account, method, priority, status, due_at, attempts, max_attempts, conversation, created_at,
    created_by, completed_at
) VALUES (
    12, NEWID(), N'default', 'getchatchannels', 5, 'uncertain', SYSUTCDATETIME(), 1, 8, N'default', SYSUTCDATETIME(),
    SUSER_SNAME(), SYSUTCDATETIME()
);
SET IDENTITY_INSERT afil.outbox OFF;
"""


@pytest.fixture(scope="module")
def connection(tsql_server: str) -> Iterator[sa.Connection]:
    """To a database of its own, as examples leave settings and triggers behind, with the table that they speak of."""
    with engines.database(tsql_server) as made:
        deploy.migrate(made)
        engine = create_engine(made, autocommit=True)
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE dbo.orders (order_id int NOT NULL PRIMARY KEY, phone nvarchar(40), state varchar(20), "
                "total decimal(10, 2), ordered_at datetime2(3))"
            )
            yield connection
        engine.dispose()


@pytest.mark.parametrize("obj", sql_objects(), ids=lambda o: o.name)
def test_the_example_in_the_header_runs(connection: sa.Connection, obj: SqlObject) -> None:
    assert f"afil.{obj.name}" in obj.example
    run_example(connection, obj)
    assert connection.exec_driver_sql("SELECT @@TRANCOUNT").scalar() == 0, "it leaves a transaction open"


def run_example(connection: sa.Connection, obj: SqlObject) -> None:
    """Make what examples speak of, then run one."""
    if obj.requires_sqlserver and deploy.is_babelfish(connection):
        pytest.skip("Babelfish has no WAITFOR: this object is proven on SQL Server only")
    connection.exec_driver_sql(
        "IF NOT EXISTS (SELECT 1 FROM afil.notification) EXEC afil.create_notification @name = N'order_state', "
        "@table = N'dbo.orders', @on = N'insert', @platform = N'whatsapp', @platformid = N'100', "
        "@destination = N'phone', @message = N'Order {order_id}'"
    )
    connection.exec_driver_sql(ROW_12)
    if obj.name == "create_notification":
        connection.exec_driver_sql("EXEC afil.drop_notification @name = N'order_state'")
    connection.exec_driver_sql(obj.example)
