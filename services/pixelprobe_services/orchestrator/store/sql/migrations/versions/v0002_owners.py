"""Campaigns have owners, and an owner's queries are counted by day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Campaigns that exist already have no owner."""
    op.add_column("campaigns", sa.Column("owner", sa.String(64), server_default="", nullable=False))
    op.create_index("ix_campaigns_owner_state", "campaigns", ["owner", "state"])
    op.create_table(
        "query_days",
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("day", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("queries", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "day", name="pk_query_days"),
        sqlite_with_rowid=False,
    )
