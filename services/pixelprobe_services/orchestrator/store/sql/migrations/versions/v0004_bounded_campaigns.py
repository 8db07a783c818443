"""Campaigns of any size: specs apart, attacks without rows until claimed, images that can be removed.

Request ids become their owner's own.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

from pixelprobe_api.attack.v1 import campaign_pb2

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_IMAGES_A_QUERY = 500


def upgrade() -> None:
    """Move specs to a table of their own, and derive the new columns from them."""
    _new_tables()
    connection = op.get_bind()
    connection.exec_driver_sql("INSERT INTO specs (campaign_id, spec) SELECT id, spec FROM campaigns")
    op.add_column("images", sa.Column("used", sa.Double, server_default="0", nullable=False))
    connection.execute(sa.text("UPDATE images SET used = :now"), {"now": time.time()})
    for column in (
        sa.Column("attacks_created", sa.Integer, server_default="0", nullable=False),
        sa.Column("stored_bytes", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("delete_time", sa.Double),
        sa.Column("head", sa.LargeBinary),
    ):
        op.add_column("campaigns", column)
    for campaign_id in connection.scalars(sa.text("SELECT id FROM campaigns")).all():
        _fill(connection, campaign_id)
    with op.batch_alter_table("campaigns") as batch:
        batch.alter_column("head", existing_type=sa.LargeBinary(), nullable=False)
        batch.drop_column("spec")
        batch.drop_constraint("uq_campaigns_request_id", type_="unique")
        batch.create_unique_constraint("uq_campaigns_owner", ["owner", "request_id"])


def _new_tables() -> None:
    op.create_table(
        "specs",
        sa.Column("campaign_id", sa.String(32), nullable=False),
        sa.Column("spec", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], "fk_specs_campaign_id_campaigns"),
        sa.PrimaryKeyConstraint("campaign_id", name="pk_specs"),
    )
    op.create_table(
        "campaign_images",
        sa.Column("campaign_id", sa.String(32), nullable=False),
        sa.Column("image_digest", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], "fk_campaign_images_campaign_id_campaigns"
        ),
        sa.PrimaryKeyConstraint("campaign_id", "image_digest", name="pk_campaign_images"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_campaign_images_image_digest", "campaign_images", ["image_digest"])
    op.create_index("ix_campaign_masks_mask_digest", "campaign_masks", ["mask_digest"])
    op.create_index("ix_results_mask_digest", "results", ["mask_digest"])


def _fill(connection: sa.Connection, campaign_id: str) -> None:
    of_campaign = {"id": campaign_id}
    data = connection.scalar(sa.text("SELECT spec FROM specs WHERE campaign_id = :id"), of_campaign)
    spec = campaign_pb2.CampaignSpec.FromString(bytes(data))
    digests = sorted({image.digest for image in spec.images})
    spec.ClearField("images")
    results = connection.scalar(
        sa.text("SELECT sum(length(payload)) FROM results WHERE campaign_id = :id"), of_campaign
    )
    stored = len(data) + int(results or 0)
    images = sa.table("images", sa.column("digest"), sa.column("height"), sa.column("width"))
    for start in range(0, len(digests), _IMAGES_A_QUERY):
        some = digests[start : start + _IMAGES_A_QUERY]
        connection.execute(
            sa.text("INSERT INTO campaign_images (campaign_id, image_digest) VALUES (:id, :digest)"),
            [{"id": campaign_id, "digest": digest} for digest in some],
        )
        size = sa.select(sa.func.sum(images.c.height * images.c.width * 3)).where(images.c.digest.in_(some))
        stored += int(connection.scalar(size) or 0)
    connection.execute(
        sa.text(
            "UPDATE campaigns SET head = :head, attacks_created = attacks_total, stored_bytes = :stored"
            " WHERE id = :id"
        ),
        {"head": spec.SerializeToString(deterministic=True), "stored": stored, "id": campaign_id},
    )
