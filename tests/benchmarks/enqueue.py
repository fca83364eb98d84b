"""What it costs whoever writes: a notification's trigger against plain INSERTs of the same rows, and an EXEC."""

from __future__ import annotations

import time
from collections.abc import Iterator

import sqlalchemy as sa

from afilsql.outbox.engine import create_engine
from tests.benchmarks.filling import settle
from tests.benchmarks.found import Found
from tests.benchmarks.spread import Spread
from tests.benchmarks.stage import Stage

_ORDERS = (
    "CREATE TABLE dbo.{name} "
    "(order_id INT NOT NULL PRIMARY KEY, phone NVARCHAR(40) NOT NULL, state NVARCHAR(20) NOT NULL)",
    "INSERT INTO dbo.{name} SELECT v, CONCAT(N'34600', v), N'new' FROM (SELECT TOP (1000) "
    "ROW_NUMBER() OVER (ORDER BY object_id) AS v FROM sys.all_columns) AS n",
)
_NOTIFY = (
    "EXEC afil.create_notification @name = N'benchmark', @table = N'dbo.told', @on = N'update', @columns = N'state', "
    "@platform = N'whatsapp', @platformid = N'100', @destination = N'phone', @message = N'Order {order_id} is {state}.'"
)
#: The rows that the trigger writes, by a plain statement.
_INSERT = (
    "INSERT INTO afil.outbox (request_id, account, method, platform, platformid, destination, message, priority, "
    "status, turn, due_at, attempts, max_attempts, conversation, created_at, created_by{more}) SELECT NEWID(), "
    "N'default', 'sendmessage', 'whatsapp', N'100', phone, CONCAT(N'Order ', order_id, N' is ', state, N'.'), 5, "
    "'queued', 0, SYSUTCDATETIME(), 0, 8, CONCAT(N'default', NCHAR(31), N'whatsapp', NCHAR(31), N'100', NCHAR(31), "
    "phone), SYSUTCDATETIME(), SUSER_SNAME(){values} FROM dbo.quiet{where}"
)
_TRIGGERED = _INSERT.format(more=", notification", values=", N'benchmark'", where="")
_ONE = _INSERT.format(more="", values="", where=" WHERE order_id = 1")
_EXEC = (
    "EXEC afil.send_message @platform = 'whatsapp', @platformid = '100', @destination = N'346001', "
    "@message = N'Order 1 is new.'"
)


def measure(stage: Stage) -> Iterator[Found]:
    """Each statement commits by itself; the variants take turns, and the quota is the default of 10,000 a minute."""
    with stage.fresh() as url:
        engine = create_engine(url, autocommit=True)
        try:
            with engine.connect() as connection:
                try:
                    for name in ("quiet", "told"):
                        for statement in _ORDERS:
                            connection.exec_driver_sql(statement.format(name=name))
                    connection.exec_driver_sql(_NOTIFY)
                    settle(url)
                    yield from _triggers(stage, connection)
                    yield from _calls(stage, connection)
                finally:
                    connection.exec_driver_sql(
                        "IF EXISTS (SELECT 1 FROM afil.notification WHERE name = N'benchmark') "
                        "EXEC afil.drop_notification @name = N'benchmark'"
                    )
                    connection.exec_driver_sql("DROP TABLE IF EXISTS dbo.quiet; DROP TABLE IF EXISTS dbo.told")
        finally:
            engine.dispose()


def _triggers(stage: Stage, connection: sa.Connection) -> Iterator[Found]:
    rounds, warm = stage.pick(9, 5), 2
    told, quiet, plain = list[float](), list[float](), list[float]()
    for n in range(warm + rounds):
        # Above the quota a row fails for it: that would be another trigger's work.
        connection.exec_driver_sql("TRUNCATE TABLE afil.outbox")
        quiet.append(_milliseconds(connection, f"UPDATE dbo.quiet SET state = N'state {n}'"))
        told.append(_milliseconds(connection, f"UPDATE dbo.told SET state = N'state {n}'"))
        plain.append(_milliseconds(connection, _TRIGGERED))
    written = connection.exec_driver_sql(
        "SELECT COUNT(*) FROM afil.outbox WHERE status = 'queued' AND notification = N'benchmark'"
    ).scalar()
    if written != 2000:
        raise RuntimeError(f"trigger and INSERT wrote {written} rows in place of 2,000")
    more = Spread.of(with_it - without for with_it, without in zip(told[warm:], quiet[warm:], strict=True))
    note = (
        f"the UPDATE took {Spread.of(told[warm:]).median:.0f} ms with, {Spread.of(quiet[warm:]).median:.0f} ms without"
    )
    stage.say(f"{note}, the INSERT {Spread.of(plain[warm:]).median:.0f} ms")
    yield Found("trigger", stage.database, more, Spread.of(plain[warm:]), (note,))


def _calls(stage: Stage, connection: sa.Connection) -> Iterator[Found]:
    rounds, warm = stage.pick(300, 100), 10
    connection.exec_driver_sql("TRUNCATE TABLE afil.outbox")
    pairs = [[_milliseconds(connection, sql) for sql in (_EXEC, _ONE)] for _ in range(warm + rounds)]
    calls, plain = (Spread.of(pair[n] for pair in pairs[warm:]) for n in range(2))
    stage.say(f"EXEC {calls.median:.2f} ms, INSERT {plain.median:.2f} ms")
    yield Found("exec", stage.database, calls, plain)


def _milliseconds(connection: sa.Connection, sql: str) -> float:
    began = time.perf_counter()
    connection.exec_driver_sql(sql)
    return 1000 * (time.perf_counter() - began)
