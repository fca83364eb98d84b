"""What the T-SQL surface needs: notifications, described settings, parsed times, a sender's own items."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mssql

revision = "0002"
down_revision = "0001"

Tiny = sa.SmallInteger().with_variant(mssql.TINYINT, "mssql")
Time = sa.DateTime().with_variant(mssql.DATETIME2(3), "mssql")  # type: ignore[no-untyped-call]

#: name, value, lowest, highest, meaning
SETTINGS = (
    ("max_attempts", 8, 1, 100, "Tries a request gets before it is failed."),
    ("paused", 0, 0, 1, "1 while nothing is taken from the queue; set by afil.pause and afil.resume."),
    ("quota_per_minute", 10000, 0, 10000000, "Requests one sender may queue in a minute; 0 is no limit."),
    ("retention_days_failed", 0, 0, 36500, "Days after which failed and cancelled requests are purged; 0 keeps them."),
    ("retention_days_log", 90, 0, 36500, "Days after which entries of the event log are purged; 0 keeps them."),
    ("retention_days_sent", 0, 0, 36500, "Days after which sent requests are purged; 0 keeps them."),
)


def _where() -> tuple[str | None, str]:
    """The schema, for Alembic and as a prefix in statements: SQLite has none."""
    return ("afil", "afil.") if op.get_context().dialect.name == "mssql" else (None, "")


def upgrade() -> None:
    schema, prefix = _where()
    op.add_column("chat", sa.Column("dated_at", Time, nullable=True), schema=schema)
    op.add_column("chat_message", sa.Column("dated_at", Time, nullable=True), schema=schema)
    op.add_column("outbox", sa.Column("notification", sa.Unicode(length=128), nullable=True), schema=schema)
    op.create_index(
        "ix_outbox_created_by_created_at", "outbox", ["created_by", "created_at"], unique=False, schema=schema
    )

    op.create_table(
        "notification",
        sa.Column("name", sa.Unicode(length=100), nullable=False),
        sa.Column("table_schema", sa.Unicode(length=128), nullable=False),
        sa.Column("table_name", sa.Unicode(length=128), nullable=False),
        sa.Column("on_insert", sa.Boolean(), nullable=False),
        sa.Column("on_update", sa.Boolean(), nullable=False),
        sa.Column("on_delete", sa.Boolean(), nullable=False),
        sa.Column("changed_columns", sa.Unicode(), nullable=True),
        sa.Column("condition", sa.Unicode(), nullable=True),
        sa.Column("account", sa.Unicode(length=128), nullable=False),
        sa.Column("platform", sa.Unicode(length=20), nullable=False),
        sa.Column("platformid", sa.Unicode(length=4000), nullable=False),
        sa.Column("destination", sa.Unicode(length=4000), nullable=False),
        sa.Column("message", sa.Unicode(), nullable=True),
        sa.Column("type", sa.Unicode(length=20), nullable=True),
        sa.Column("fileurl", sa.Unicode(length=4000), nullable=True),
        sa.Column("dedup", sa.Unicode(length=4000), nullable=True),
        sa.Column("priority", Tiny, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("created_by", sa.Unicode(length=128), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_notification")),
        schema=schema,
    )

    # Whatever an earlier version applied of sql/ is applied again, this time with what afil.help shows of it.
    op.execute(f"DELETE FROM {prefix}sql_object")
    for column in ("object_name", "kind", "grants", "summary", "example", "header"):
        op.add_column("sql_object", sa.Column(column, sa.Unicode(), nullable=True), schema=schema)

    op.add_column("setting", sa.Column("lowest", sa.Integer(), nullable=True), schema=schema)
    op.add_column("setting", sa.Column("highest", sa.Integer(), nullable=True), schema=schema)
    op.add_column("setting", sa.Column("meaning", sa.Unicode(length=400), nullable=True), schema=schema)
    for name, value, lowest, highest, meaning in SETTINGS:
        if name != "max_attempts":
            op.execute(f"INSERT INTO {prefix}setting (name, value) VALUES ('{name}', '{value}')")
        op.execute(
            f"UPDATE {prefix}setting SET lowest = {lowest}, highest = {highest}, meaning = '{meaning}' "
            f"WHERE name = '{name}'"
        )


def downgrade() -> None:
    schema, prefix = _where()
    added = ", ".join(f"'{setting[0]}'" for setting in SETTINGS if setting[0] != "max_attempts")
    op.execute(f"DELETE FROM {prefix}setting WHERE name IN ({added})")
    op.drop_table("notification", schema=schema)
    op.drop_index("ix_outbox_created_by_created_at", table_name="outbox", schema=schema)
    for table, column in (
        *(("sql_object", c) for c in ("header", "example", "summary", "grants", "kind", "object_name")),
        ("setting", "meaning"),
        ("setting", "highest"),
        ("setting", "lowest"),
        ("outbox", "notification"),
        ("chat_message", "dated_at"),
        ("chat", "dated_at"),
    ):
        op.drop_column(table, column, schema=schema)
