"""Alembic's entry: afilsql.deploy passes the connection (or a buffer for the printed script) in.

Run through `afilsql migrate`; the `alembic` command alone has no connection to work on.
"""

from __future__ import annotations

from alembic import context

from afilsql.outbox import schema

attributes = context.config.attributes

if "buffer" in attributes:
    context.configure(
        dialect_name="mssql",
        as_sql=True,
        output_buffer=attributes["buffer"],
        target_metadata=schema.metadata,
        version_table_schema=schema.SCHEMA,
    )
elif "connection" in attributes:
    connection = attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=schema.metadata,
        version_table_schema=schema.SCHEMA if connection.dialect.name == "mssql" else None,
    )
else:
    raise SystemExit("run `afilsql migrate`: it opens the database and takes the lock that two deployers need")

with context.begin_transaction():
    context.run_migrations()
