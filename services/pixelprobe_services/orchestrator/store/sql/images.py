"""Images and masks by content, and which mask a campaign uses for which image."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import sqlalchemy as sa

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.common.values import MaskArray, Pixels
from pixelprobe_services.orchestrator.store.base import StoredMask
from pixelprobe_services.orchestrator.store.sql.payload import decode_mask, encode_mask, mask_digest
from pixelprobe_services.orchestrator.store.sql.schema import campaign_masks, images, masks
from pixelprobe_services.orchestrator.store.sql.statements import insert_or_keep

_DIGESTS_A_QUERY = 500


def put_image(connection: sa.Connection, digest: str, image: Pixels) -> None:
    """Keep an image, (height, width, 3) uint8."""
    height, width, _ = image.shape
    rgb = np.ascontiguousarray(image).tobytes()
    insert_or_keep(connection, images, digest=digest, height=height, width=width, rgb=rgb)


def get_image(connection: sa.Connection, digest: str) -> Pixels:
    """The image of that digest. Raises NotFoundError."""
    row = connection.execute(sa.select(images).where(images.c.digest == digest)).one_or_none()
    if row is None:
        raise NotFoundError(f"no image with the digest {digest}", reason="IMAGE_NOT_FOUND")
    return np.frombuffer(row.rgb, dtype=np.uint8).reshape(row.height, row.width, 3)


def image_sizes(connection: sa.Connection, digests: Collection[str]) -> dict[str, tuple[int, int]]:
    """(height, width) of those of ``digests`` that are there."""
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
    """Keep a mask, (height, width) bool. Returns its digest."""
    digest = mask_digest(mask)
    height, width = mask.shape
    insert_or_keep(connection, masks, digest=digest, height=height, width=width, bits=encode_mask(mask))
    return digest


def put_campaign_mask(
    connection: sa.Connection, campaign_id: str, image_digest: str, mask: StoredMask
) -> StoredMask:
    """Use ``mask`` for that image unless one is in use already. Returns the one in use."""
    insert_or_keep(
        connection,
        campaign_masks,
        campaign_id=campaign_id,
        image_digest=image_digest,
        mask_digest=put_mask(connection, mask.mask),
        review_reason=mask.review_reason,
    )
    kept = get_campaign_mask(connection, campaign_id, image_digest)
    assert kept is not None
    return kept


def get_campaign_mask(connection: sa.Connection, campaign_id: str, image_digest: str) -> StoredMask | None:
    """The mask in use for that image, or None."""
    row = connection.execute(
        sa.select(campaign_masks.c.review_reason, masks)
        .join_from(campaign_masks, masks)
        .where(campaign_masks.c.campaign_id == campaign_id, campaign_masks.c.image_digest == image_digest)
    ).one_or_none()
    return (
        None if row is None else StoredMask(decode_mask(row.bits, row.height, row.width), row.review_reason)
    )
