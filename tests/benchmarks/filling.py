"""Write many rows into an outbox at once, as they stand after days of use."""

from __future__ import annotations

import sqlalchemy as sa

from afilsql.outbox.engine import create_engine

#: Rows of one statement: what a T-SQL engine writes in some seconds.
_AT_ONCE = 200_000
_COLUMNS = (
    "request_id, account, method, platform, platformid, destination, message, priority, status, turn, due_at, "
    "attempts, max_attempts, conversation, created_at, created_by, completed_at"
)
#: {chat} is the conversation's number, v counts the rows.
_NUMBERS = {
    "sqlite": "(WITH RECURSIVE n(v) AS (SELECT {first} UNION ALL SELECT v + 1 FROM n WHERE v < {last}) "
    "SELECT v FROM n) AS n",
    "mssql": "(SELECT TOP ({count}) {first} - 1 + ROW_NUMBER() OVER (ORDER BY a.object_id) AS v "
    "FROM sys.all_columns AS a CROSS JOIN sys.all_columns AS b) AS n",
}
_ROWS = {
    "sqlite": "INSERT INTO outbox (" + _COLUMNS + ") SELECT printf('%032x', v), 'default', 'sendmessage', 'whatsapp', "
    "'100', '346' || ({chat}), 'message ' || v, 5, {status}, '2026-01-01 00:00:00.000000', {attempts}, 8, 'default' || "
    "char(31) || 'whatsapp' || char(31) || '100' || char(31) || '346' || ({chat}), '2026-01-01 00:00:00.000000', "
    "'benchmark', {completed} FROM {numbers}",
    "mssql": "INSERT INTO afil.outbox ("
    + _COLUMNS
    + ") SELECT NEWID(), N'default', 'sendmessage', 'whatsapp', N'100', "
    "CONCAT(N'346', {chat}), CONCAT(N'message ', v), 5, {status}, SYSUTCDATETIME(), {attempts}, 8, CONCAT(N'default', "
    "NCHAR(31), N'whatsapp', NCHAR(31), N'100', NCHAR(31), N'346', {chat}), SYSUTCDATETIME(), N'benchmark', "
    "{completed} FROM {numbers}",
}
_NOW = {"sqlite": "'2026-01-01 00:00:00.000000'", "mssql": "SYSUTCDATETIME()"}
#: What a finished request leaves behind besides its row.
_TRACES = (
    "INSERT INTO {schema}attempt (id, attempt, started_at, duration_ms, http_status, worker) "
    "SELECT id, 1, completed_at, 50, 200, 'benchmark' FROM {schema}outbox WHERE completed_at IS NOT NULL "
    "AND id NOT IN (SELECT id FROM {schema}attempt)",
    "INSERT INTO {schema}response (id, received_at, body) "
    """SELECT id, completed_at, '{{"status": "SUCCESS", "result": {{}}}}' FROM {schema}outbox """
    "WHERE completed_at IS NOT NULL AND id NOT IN (SELECT id FROM {schema}response)",
)


def fill(url: str, rows: int, chats: int, *, giant: int = 0, finished: bool = False) -> None:
    """Write rows, spread evenly over so many conversations.

    Args:
        url: Of the outbox.
        rows: How many.
        chats: Conversations.
        giant: The first so many rows are of one conversation more.
        finished: They have been sent, and left a try and an answer each; else they wait.
    """
    kind = sa.make_url(url).get_backend_name()
    schema = "" if kind == "sqlite" else "afil."
    chat = f"CASE WHEN v <= {giant} THEN 0 ELSE 1 + v % {chats} END"
    status = "'sent', NULL" if finished else "'queued', 0"
    engine = create_engine(url)
    for first in range(1, rows + 1, _AT_ONCE):
        count = min(_AT_ONCE, rows - first + 1)
        numbers = _NUMBERS[kind].format(first=first, last=first + count - 1, count=count)
        with engine.begin() as connection:
            connection.exec_driver_sql(
                _ROWS[kind].format(
                    chat=chat,
                    status=status,
                    attempts=int(finished),
                    completed=_NOW[kind] if finished else "NULL",
                    numbers=numbers,
                )
            )
    with engine.begin() as connection:
        for statement in _TRACES if finished else ():
            connection.exec_driver_sql(statement.format(schema=schema))
    engine.dispose()
    settle(url)


def settle(url: str) -> None:
    """Have a T-SQL engine's statistics taken anew, as a server does by itself some time after so many rows."""
    if sa.make_url(url).get_backend_name() == "sqlite":
        return  # which takes none by itself
    engine = create_engine(url, autocommit=True)
    with engine.connect() as connection:
        connection.exec_driver_sql("EXEC sp_updatestats")
    engine.dispose()
