"""Images and masks by content, and the masks that a campaign uses."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import sqlalchemy as sa

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.common.values import MaskArray, Pixels
from pixelprobe_services.orchestrator.store.base import StoredMask
from pixelprobe_services.orchestrator.store.sql.dialect import insert_or_keep, now_seconds, upsert
from pixelprobe_services.orchestrator.store.sql.events import read_campaign
from pixelprobe_services.orchestrator.store.sql.payload import decode_mask, encode_mask, mask_digest
from pixelprobe_services.orchestrator.store.sql.schema import campaign_masks, images, masks

_DIGESTS_A_QUERY = 500


def put_image(connection: sa.Connection, digest: str, image: Pixels) -> None:
    """Store an image, (height, width, 3) uint8, or note that it was uploaded again."""
    again = sa.update(images).where(images.c.digest == digest).values(used=now_seconds())
    if connection.execute(again).rowcount:
        return
    height, width, _ = image.shape
    rgb = np.ascontiguousarray(image).tobytes()
    statement = upsert(connection.dialect.name, images).values(
        digest=digest, height=height, width=width, rgb=rgb, used=now_seconds()
    )
    connection.execute(
        statement.on_conflict_do_update(index_elements=["digest"], set_={"used": statement.excluded.used})
    )


def get_image(connection: sa.Connection, digest: str) -> Pixels:
    """Return the image of that digest. Raises NotFoundError."""
    row = connection.execute(sa.select(images).where(images.c.digest == digest)).one_or_none()
    if row is None:
        raise NotFoundError(f"no image with the digest {digest}", reason="IMAGE_NOT_FOUND")
    return np.frombuffer(row.rgb, dtype=np.uint8).reshape(row.height, row.width, 3)


def image_sizes(connection: sa.Connection, digests: Collection[str]) -> dict[str, tuple[int, int]]:
    """Return (height, width) of those of ``digests`` that are stored."""
    wanted = sorted(digests)
    sizes: dict[str, tuple[int, int]] = {}
    for start in range(0, len(wanted), _DIGESTS_A_QUERY):
        some = images.c.digest.in_(wanted[start : start + _DIGESTS_A_QUERY])
        for row in connection.execute(
            sa.select(images.c.digest, images.c.height, images.c.width).where(some)
        ):
            sizes[row.digest] = (row.height, row.width)
    return sizes


def put_mask(connection: sa.Connection, mask: MaskArray) -> str:
    """Store a mask, (height, width) bool. Returns its digest.

    The row is locked until the commit, so that no sweep deletes a mask that is about to be used again.
    """
    digest = mask_digest(mask)
    height, width = mask.shape
    statement = upsert(connection.dialect.name, masks).values(
        digest=digest, height=height, width=width, bits=encode_mask(mask)
    )
    connection.execute(
        statement.on_conflict_do_update(index_elements=["digest"], set_={"height": statement.excluded.height})
    )
    return digest


def put_campaign_mask(
    connection: sa.Connection, campaign_id: str, image_digest: str, mask: StoredMask
) -> StoredMask:
    """Use ``mask`` for that image unless one is in use already. Returns the one in use.

    Raises:
        NotFoundError: no such campaign.
    """
    read_campaign(connection, campaign_id)
    row = {
        "campaign_id": campaign_id,
        "image_digest": image_digest,
        "mask_digest": put_mask(connection, mask.mask),
        "review_reason": mask.review_reason,
    }
    insert_or_keep(connection, campaign_masks, [row])
    kept = get_campaign_mask(connection, campaign_id, image_digest)
    assert kept is not None
    return kept


def get_campaign_mask(connection: sa.Connection, campaign_id: str, image_digest: str) -> StoredMask | None:
    """Return the mask in use for that image, or None. Raises NotFoundError if there is no such campaign."""
    read_campaign(connection, campaign_id)
    row = connection.execute(
        sa.select(campaign_masks.c.review_reason, masks)
        .join_from(campaign_masks, masks)
        .where(campaign_masks.c.campaign_id == campaign_id, campaign_masks.c.image_digest == image_digest)
    ).one_or_none()
    return (
        None if row is None else StoredMask(decode_mask(row.bits, row.height, row.width), row.review_reason)
    )
