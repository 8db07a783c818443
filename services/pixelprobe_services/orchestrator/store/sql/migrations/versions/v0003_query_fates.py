"""What became of an attack's queries is counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the counts; those of attacks that were stored before stay 0."""
    for name in ("answered", "timed_out", "rejected", "retries"):
        op.add_column("attacks", sa.Column(name, sa.BigInteger, server_default="0", nullable=False))
