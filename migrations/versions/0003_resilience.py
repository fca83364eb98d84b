"""What reading back unknown sends, the breaker and rate limits remember; queued rows sorted by account."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mssql

revision = "0003"
down_revision = "0002"

BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Time = sa.DateTime().with_variant(mssql.DATETIME2(3), "mssql")  # type: ignore[no-untyped-call]

Columns = tuple[tuple[str, sa.types.TypeEngine[Any]], ...]
OUTBOX: Columns = (("taken_at", Time), ("unknown_since", Time), ("check_at", Time))
ACCOUNT: Columns = (
    ("tripped_at", Time),
    ("trips", sa.Integer()),
    ("probe_at", Time),
    ("probe_id", BigId),
    ("rest_until", Time),
    ("rate", sa.Float()),
    ("rate_found", sa.Float()),
    ("tokens", sa.Float()),
    ("tokens_at", Time),
)
#: name, value, lowest, highest, meaning
SETTINGS = (
    (
        "allow_private_urls",
        0,
        0,
        1,
        "1 lets the URL of a file point to a private place, such as localhost or 10.0.0.5.",
    ),
    (
        "probe_seconds",
        300,
        0,
        86400,
        "Seconds after which one request of an account with refused credentials is tried; 0 waits for release_account.",
    ),
)


def _where() -> tuple[str | None, str]:
    """The schema, for Alembic and as a prefix in statements: SQLite has none."""
    return ("afil", "afil.") if op.get_context().dialect.name == "mssql" else (None, "")


def _index(name: str, columns: list[str], where: str | None = None, include: list[str] | None = None) -> None:
    condition = sa.text(where) if where else None
    op.create_index(
        name,
        "outbox",
        columns,
        unique=False,
        schema=_where()[0],
        mssql_include=include,
        mssql_where=condition,
        sqlite_where=condition,
    )


def upgrade() -> None:
    schema, prefix = _where()
    for name, kind in OUTBOX:
        op.add_column("outbox", sa.Column(name, kind, nullable=True), schema=schema)
    for name, kind in ACCOUNT:
        op.add_column("account", sa.Column(name, kind, nullable=True), schema=schema)
    for index in ("ix_outbox_queued", "ix_outbox_conversation"):
        op.drop_index(index, table_name="outbox", schema=schema)
    _index("ix_outbox_queued", ["account", "turn", "priority", "id"], "status = 'queued'", ["method", "due_at"])
    _index("ix_outbox_conversation", ["conversation", "turn", "id"])
    _index("ix_outbox_check", ["check_at"], "status = 'uncertain' AND check_at IS NOT NULL", ["account"])
    # Rows of held accounts were set aside; now they stay in line and their account is passed by.
    op.execute(f"UPDATE {prefix}outbox SET turn = 0 WHERE turn = 3")
    for name, value, lowest, highest, meaning in SETTINGS:
        op.execute(
            f"INSERT INTO {prefix}setting (name, value, lowest, highest, meaning) "
            f"VALUES ('{name}', '{value}', {lowest}, {highest}, '{meaning}')"
        )


def downgrade() -> None:
    schema, prefix = _where()
    for setting, *_ in SETTINGS:
        op.execute(f"DELETE FROM {prefix}setting WHERE name = '{setting}'")
    # What was to be read back is left to a person, and the rows behind it are looked at again.
    op.execute(
        f"UPDATE {prefix}outbox SET turn = 0 WHERE turn = 2 AND conversation IN "
        f"(SELECT conversation FROM {prefix}outbox WHERE status = 'uncertain' AND check_at IS NOT NULL)"
    )
    op.execute(
        f"UPDATE {prefix}outbox SET turn = NULL, lease_id = NULL, completed_at = COALESCE(taken_at, created_at) "
        "WHERE status = 'uncertain' AND check_at IS NOT NULL"
    )
    for index in ("ix_outbox_check", "ix_outbox_conversation", "ix_outbox_queued"):
        op.drop_index(index, table_name="outbox", schema=schema)
    _index("ix_outbox_conversation", ["conversation", "turn", "id"], "turn IS NOT NULL")
    _index("ix_outbox_queued", ["turn", "priority", "id"], "status = 'queued'", ["account", "method", "due_at"])
    for name, _ in reversed(ACCOUNT):
        op.drop_column("account", name, schema=schema)
    for name, _ in reversed(OUTBOX):
        op.drop_column("outbox", name, schema=schema)
