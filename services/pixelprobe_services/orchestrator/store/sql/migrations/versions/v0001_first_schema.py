"""The first schema: images, masks, campaigns, attacks, results, checkpoints, events, leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create all tables."""
    _campaigns()
    _images()
    _attacks()
    _of_attacks()


def _campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("ordinal", BIG, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("request_id", sa.String(128)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_reason", sa.Text, nullable=False),
        sa.Column("create_time", sa.Double, nullable=False),
        sa.Column("end_time", sa.Double),
        sa.Column("attacks_total", sa.Integer, nullable=False),
        sa.Column("last_event", sa.BigInteger, nullable=False),
        sa.Column("spec", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("ordinal", name="pk_campaigns"),
        sa.UniqueConstraint("id", name="uq_campaigns_id"),
        sa.UniqueConstraint("request_id", name="uq_campaigns_request_id"),
    )
    op.create_table(
        "events",
        sa.Column("campaign_id", sa.String(32), nullable=False),
        sa.Column("sequence", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("campaign_state", sa.String(16)),
        sa.Column("attack_number", sa.Integer),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], "fk_events_campaign_id_campaigns"),
        sa.PrimaryKeyConstraint("campaign_id", "sequence", name="pk_events"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lease_holders",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("seen", sa.Double, nullable=False),
        sa.Column("expires", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_lease_holders"),
    )


def _images() -> None:
    for name, content in (("images", "rgb"), ("masks", "bits")):
        op.create_table(
            name,
            sa.Column("digest", sa.String(64), nullable=False),
            sa.Column("height", sa.Integer, nullable=False),
            sa.Column("width", sa.Integer, nullable=False),
            sa.Column(content, sa.LargeBinary, nullable=False),
            sa.PrimaryKeyConstraint("digest", name=f"pk_{name}"),
        )
    op.create_table(
        "campaign_masks",
        sa.Column("campaign_id", sa.String(32), nullable=False),
        sa.Column("image_digest", sa.String(64), nullable=False),
        sa.Column("mask_digest", sa.String(64), nullable=False),
        sa.Column("review_reason", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], "fk_campaign_masks_campaign_id_campaigns"),
        sa.ForeignKeyConstraint(["mask_digest"], ["masks.digest"], "fk_campaign_masks_mask_digest_masks"),
        sa.PrimaryKeyConstraint("campaign_id", "image_digest", name="pk_campaign_masks"),
    )


def _attacks() -> None:
    op.create_table(
        "attacks",
        sa.Column("campaign_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(32)),
        sa.Column("claims", sa.Integer, server_default="0", nullable=False),
        sa.Column("reserved", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("settled", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("skipped", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("repeated", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("end_time", sa.Double),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], "fk_attacks_campaign_id_campaigns"),
        sa.PrimaryKeyConstraint("campaign_id", "number", name="pk_attacks"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_attacks_campaign_id_state_number", "attacks", ["campaign_id", "state", "number"])


def _of_attacks() -> None:
    op.create_table(
        "results",
        sa.Column("campaign_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("mask_digest", sa.String(64)),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["mask_digest"], ["masks.digest"], "fk_results_mask_digest_masks"),
        _foreign_key("results"),
        sa.PrimaryKeyConstraint("campaign_id", "number", name="pk_results"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("campaign_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        _foreign_key("checkpoints"),
        sa.PrimaryKeyConstraint("campaign_id", "number", name="pk_checkpoints"),
    )
    op.create_table(
        "scored",
        sa.Column("place", BIG, autoincrement=True, nullable=False),
        sa.Column("campaign_id", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("chunk", sa.LargeBinary, nullable=False),
        _foreign_key("scored"),
        sa.PrimaryKeyConstraint("place", name="pk_scored"),
    )
    op.create_index("ix_scored_campaign_id_number", "scored", ["campaign_id", "number"])


def _foreign_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["campaign_id", "number"],
        ["attacks.campaign_id", "attacks.number"],
        f"fk_{table}_campaign_id_attacks",
    )
