"""The outbox, its answers, the lists the get-methods bring, and the housekeeping tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mssql

revision = "0001"
down_revision = None

SCHEMA = "afil"
BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Tiny = sa.SmallInteger().with_variant(mssql.TINYINT, "mssql")
Time = sa.DateTime().with_variant(mssql.DATETIME2(3), "mssql")  # type: ignore[no-untyped-call]

ROLES = ("afil_sender", "afil_reader", "afil_worker", "afil_operator")


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("name", sa.Unicode(length=128), nullable=False),
        sa.Column("held_at", Time, nullable=True),
        sa.Column("held_reason", sa.Unicode(length=400), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_account")),
        schema=SCHEMA,
    )
    op.create_table(
        "chat",
        sa.Column("account", sa.Unicode(length=128), nullable=False),
        sa.Column("platform", sa.Unicode(length=20), nullable=False),
        sa.Column("platformid", sa.Unicode(length=100), nullable=False),
        sa.Column("destination", sa.Unicode(length=200), nullable=False),
        sa.Column("message", sa.Unicode(), nullable=True),
        sa.Column("messageid", sa.Unicode(length=100), nullable=True),
        sa.Column("sent", sa.Boolean(), nullable=True),
        sa.Column("status", sa.Unicode(length=50), nullable=True),
        sa.Column("datetime", sa.Unicode(length=50), nullable=True),
        sa.Column("updated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("account", "platform", "platformid", "destination", name=op.f("pk_chat")),
        schema=SCHEMA,
    )
    op.create_table(
        "chat_channel",
        sa.Column("account", sa.Unicode(length=128), nullable=False),
        sa.Column("platform", sa.Unicode(length=20), nullable=False),
        sa.Column("platformid", sa.Unicode(length=100), nullable=False),
        sa.Column("name", sa.Unicode(length=400), nullable=True),
        sa.Column("updated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("account", "platform", "platformid", name=op.f("pk_chat_channel")),
        schema=SCHEMA,
    )
    op.create_table(
        "chat_message",
        sa.Column("id", BigId, sa.Identity(), nullable=False),
        sa.Column("account", sa.Unicode(length=128), nullable=False),
        sa.Column("platform", sa.Unicode(length=20), nullable=False),
        sa.Column("platformid", sa.Unicode(length=100), nullable=False),
        sa.Column("destination", sa.Unicode(length=200), nullable=True),
        sa.Column("message", sa.Unicode(), nullable=True),
        sa.Column("messageid", sa.Unicode(length=100), nullable=True),
        sa.Column("sent", sa.Boolean(), nullable=True),
        sa.Column("status", sa.Unicode(length=50), nullable=True),
        sa.Column("datetime", sa.Unicode(length=50), nullable=True),
        sa.Column("updated_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_message")),
        schema=SCHEMA,
    )
    op.create_index(
        "uq_chat_message_account_platform_platformid_messageid",
        "chat_message",
        ["account", "platform", "platformid", "messageid"],
        unique=True,
        schema=SCHEMA,
        mssql_where=sa.text("messageid IS NOT NULL"),
        sqlite_where=sa.text("messageid IS NOT NULL"),
    )
    op.create_table(
        "error_code",
        sa.Column("code", sa.String(length=128), nullable=False),
        sa.Column("meaning", sa.Unicode(length=400), nullable=False),
        sa.Column("handling", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_error_code")),
        schema=SCHEMA,
    )
    op.create_table(
        "event_log",
        sa.Column("id", BigId, sa.Identity(), nullable=False),
        sa.Column("logged_at", Time, nullable=False),
        sa.Column("event", sa.String(length=50), nullable=False),
        sa.Column("detail", sa.Unicode(length=1000), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_log")),
        schema=SCHEMA,
    )
    op.create_table(
        "outbox",
        sa.Column("id", BigId, sa.Identity(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("account", sa.Unicode(length=128), nullable=False),
        sa.Column("method", sa.String(length=20), nullable=False),
        sa.Column("platform", sa.String(length=20), nullable=True),
        sa.Column("platformid", sa.Unicode(length=100), nullable=True),
        sa.Column("destination", sa.Unicode(length=200), nullable=True),
        sa.Column("message", sa.Unicode(), nullable=True),
        sa.Column("type", sa.String(length=20), nullable=True),
        sa.Column("fileurl", sa.Unicode(length=2000), nullable=True),
        sa.Column("thumburl", sa.Unicode(length=2000), nullable=True),
        sa.Column("priority", Tiny, nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("due_at", Time, nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=True),
        sa.Column("lease_until", Time, nullable=True),
        sa.Column("dedup_key", sa.Unicode(length=200), nullable=True),
        sa.Column("conversation", sa.Unicode(length=460), nullable=False),
        sa.Column("turn", Tiny, nullable=True),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("created_by", sa.Unicode(length=128), nullable=False),
        sa.Column("completed_at", Time, nullable=True),
        sa.Column("error_code", sa.Unicode(length=100), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        schema=SCHEMA,
        sqlite_autoincrement=True,  # an id is never used again, as on SQL Server
    )
    op.create_index(
        "ix_outbox_conversation",
        "outbox",
        ["conversation", "turn", "id"],
        unique=False,
        schema=SCHEMA,
        mssql_where=sa.text("turn IS NOT NULL"),
        sqlite_where=sa.text("turn IS NOT NULL"),
    )
    op.create_index(
        "ix_outbox_queued",
        "outbox",
        ["turn", "priority", "id"],
        unique=False,
        schema=SCHEMA,
        mssql_include=["account", "method", "due_at"],
        mssql_where=sa.text("status = 'queued'"),
        sqlite_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_outbox_scheduled",
        "outbox",
        ["turn", "due_at"],
        unique=False,
        schema=SCHEMA,
        mssql_where=sa.text("status = 'scheduled'"),
        sqlite_where=sa.text("status = 'scheduled'"),
    )
    op.create_index(
        "ix_outbox_sending",
        "outbox",
        ["lease_id", "lease_until"],
        unique=False,
        schema=SCHEMA,
        mssql_where=sa.text("status = 'sending'"),
        sqlite_where=sa.text("status = 'sending'"),
    )
    op.create_index(
        "ix_outbox_finished",
        "outbox",
        ["status", "completed_at", "id"],
        unique=False,
        schema=SCHEMA,
        mssql_include=["account", "method"],
        mssql_where=sa.text("completed_at IS NOT NULL"),
        sqlite_where=sa.text("completed_at IS NOT NULL"),
    )
    op.create_index(
        "uq_outbox_account_dedup_key",
        "outbox",
        ["account", "dedup_key"],
        unique=True,
        schema=SCHEMA,
        mssql_where=sa.text("dedup_key IS NOT NULL"),
        sqlite_where=sa.text("dedup_key IS NOT NULL"),
    )
    op.create_table(
        "setting",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("value", sa.Unicode(length=400), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_setting")),
        schema=SCHEMA,
    )
    op.create_table(
        "sql_object",
        sa.Column("name", sa.Unicode(length=200), nullable=False),
        sa.Column("checksum", sa.String(length=64), nullable=False),
        sa.Column("applied_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sql_object")),
        schema=SCHEMA,
    )
    op.create_table(
        "worker",
        sa.Column("name", sa.Unicode(length=128), nullable=False),
        sa.Column("seen_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_worker")),
        schema=SCHEMA,
    )
    op.create_table(
        "attempt",
        sa.Column("id", BigId, autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("error_code", sa.Unicode(length=100), nullable=True),
        sa.Column("detail", sa.Unicode(length=400), nullable=True),
        sa.Column("worker", sa.Unicode(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", "attempt", name=op.f("pk_attempt")),
        schema=SCHEMA,
    )
    op.create_table(
        "response",
        sa.Column("id", BigId, autoincrement=False, nullable=False),
        sa.Column("received_at", Time, nullable=False),
        sa.Column("body", sa.Unicode(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_response")),
        schema=SCHEMA,
    )
    on_sql_server = op.get_context().dialect.name == "mssql"
    schema = "afil." if on_sql_server else ""
    op.execute(f"INSERT INTO {schema}setting (name, value) VALUES ('max_attempts', '8')")
    if on_sql_server:
        for role in ROLES:
            op.execute(f"IF DATABASE_PRINCIPAL_ID(N'{role}') IS NULL CREATE ROLE {role}")


def downgrade() -> None:
    for table in (
        "response",
        "attempt",
        "outbox",
        "account",
        "chat",
        "chat_channel",
        "chat_message",
        "error_code",
        "event_log",
        "setting",
        "sql_object",
        "worker",
    ):
        op.drop_table(table, schema=SCHEMA)
    if op.get_context().dialect.name == "mssql":
        for role in ROLES:
            op.execute(f"DROP ROLE IF EXISTS {role}")
