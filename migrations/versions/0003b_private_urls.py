"""The setting allow_private_urls: whether the URL of a file may point to a private place."""

from __future__ import annotations

from alembic import op

revision = "0003b"
down_revision = "0002"

#: name, value, lowest, highest, meaning
SETTINGS = (
    (
        "allow_private_urls",
        0,
        0,
        1,
        "1 lets the URL of a file point to a private place, such as localhost or 10.0.0.5.",
    ),
)


def _setting() -> str:
    """The table's name: SQLite has no schemas."""
    return "afil.setting" if op.get_context().dialect.name == "mssql" else "setting"


def upgrade() -> None:
    for name, value, lowest, highest, meaning in SETTINGS:
        op.execute(
            f"INSERT INTO {_setting()} (name, value, lowest, highest, meaning) "
            f"VALUES ('{name}', '{value}', {lowest}, {highest}, '{meaning}')"
        )


def downgrade() -> None:
    for name, *_ in SETTINGS:
        op.execute(f"DELETE FROM {_setting()} WHERE name = '{name}'")
