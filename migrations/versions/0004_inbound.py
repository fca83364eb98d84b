"""Subscriptions, what is new in a conversation, delivery states, and which accounts workers know."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mssql

revision = "0004"
down_revision = "0003"

BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Time = sa.DateTime().with_variant(mssql.DATETIME2(3), "mssql")  # type: ignore[no-untyped-call]


def _columns() -> tuple[tuple[str, sa.Column[Any]], ...]:
    """(table, column) in the order in which they are added."""
    return (
        ("outbox", sa.Column("subscription_id", BigId)),
        ("outbox", sa.Column("messageid", sa.Unicode(100))),
        ("outbox", sa.Column("delivery_status", sa.Unicode(50))),
        ("chat", sa.Column("poll_at", Time)),
        ("chat", sa.Column("is_backlog", sa.Boolean)),
        ("chat_message", sa.Column("seen_at", Time)),
        ("chat_message", sa.Column("is_new", sa.Boolean)),
        ("account", sa.Column("poll_tokens", sa.Float())),
        ("account", sa.Column("poll_tokens_at", Time)),
        ("account", sa.Column("announced_at", Time)),
        ("account", sa.Column("platforms", sa.Unicode(100))),
    )


#: table, name, columns, condition
INDEXES = (
    ("outbox", "ix_outbox_poll", ["subscription_id", "completed_at"], "subscription_id IS NOT NULL"),
    ("outbox", "ix_outbox_messageid", ["conversation", "messageid"], "messageid IS NOT NULL"),
    ("chat", "ix_chat_poll", ["poll_at"], "poll_at IS NOT NULL"),
    (
        "chat_message",
        "ix_chat_message_conversation",
        ["platformid", "destination", "platform", "account", "id"],
        None,
    ),
)
#: name, value, lowest, highest, meaning
SETTINGS = (
    (
        "inbound_per_minute",
        60,
        0,
        6000,
        "Requests a minute that subscriptions may make for one account; 0 stops them all.",
    ),
)


def _where() -> tuple[str | None, str]:
    """The schema, for Alembic and as a prefix in statements: SQLite has none."""
    return ("afil", "afil.") if op.get_context().dialect.name == "mssql" else (None, "")


def upgrade() -> None:
    schema, prefix = _where()
    for table, column in _columns():
        op.add_column(table, column, schema=schema)
    for table, name, columns, where in INDEXES:
        condition = sa.text(where) if where else None
        op.create_index(name, table, columns, schema=schema, mssql_where=condition, sqlite_where=condition)
    op.create_table(
        "subscription",
        sa.Column("id", BigId, sa.Identity(), nullable=False),
        sa.Column("account", sa.Unicode(128), nullable=False),
        sa.Column("platform", sa.Unicode(20), nullable=False),
        sa.Column("platformid", sa.Unicode(100), nullable=False),
        sa.Column("destination", sa.Unicode(200), nullable=False),
        sa.Column("every_seconds", sa.Integer, nullable=False),
        sa.Column("unread_only", sa.Boolean, nullable=False),
        sa.Column("due_at", Time, nullable=False),
        sa.Column("first_at", Time),
        sa.Column("last_at", Time),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("error_code", sa.Unicode(100)),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("created_by", sa.Unicode(128), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscription"),
        sa.UniqueConstraint(
            "account",
            "platform",
            "platformid",
            "destination",
            name="uq_subscription_account_platform_platformid_destination",
        ),
        schema=schema,
        sqlite_autoincrement=True,
    )
    for setting, value, lowest, highest, meaning in SETTINGS:
        op.execute(
            f"INSERT INTO {prefix}setting (name, value, lowest, highest, meaning) "
            f"VALUES ('{setting}', '{value}', {lowest}, {highest}, '{meaning}')"
        )


def downgrade() -> None:
    schema, prefix = _where()
    for setting, *_ in SETTINGS:
        op.execute(f"DELETE FROM {prefix}setting WHERE name = '{setting}'")
    op.execute(f"DELETE FROM {prefix}outbox WHERE subscription_id IS NOT NULL")
    op.drop_table("subscription", schema=schema)
    for table, name, *_ in reversed(INDEXES):
        op.drop_index(name, table_name=table, schema=schema)
    for table, column in reversed(_columns()):
        op.drop_column(table, column.name, schema=schema)
