"""The trace context a request was asked in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _schema() -> str | None:
    return "afil" if op.get_context().dialect.name == "mssql" else None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("traceparent", sa.String(55)), schema=_schema())


def downgrade() -> None:
    op.drop_column("outbox", "traceparent", schema=_schema())
